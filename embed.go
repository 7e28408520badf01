// Package buildsys holds the recipe that is built into the binary: what a tree without its own
// Dockerfile is built with.
package buildsys

import "embed"

// Recipe is the Dockerfile, its tools and macros, and how the SDK image is made. It has to be
// embedded here, at the root, because go:embed neither leaves its package's directory nor follows
// links.
//
//go:embed Dockerfile tools macros sdk
var Recipe embed.FS

// Epoch is the date of everything that is made, 2025-01-01T00:00:00Z in Unix seconds: that of the
// recipe's scripts (tools/lib/prelude), for what is made in this process.
const Epoch = 1735689600
