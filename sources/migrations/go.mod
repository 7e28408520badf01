module migrations

go 1.24
