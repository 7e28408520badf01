module skiff

go 1.24
