// Package buildsys holds the recipe that is built into the binary: what a tree without its own Dockerfile is built with.
package buildsys

import "embed"

// Recipe is the Dockerfile, its tools and macros, and how the SDK image is made. It has to be embedded here, at the
// root, because go:embed neither leaves its package's directory nor follows links.
//
//go:embed Dockerfile tools macros sdk
var Recipe embed.FS
