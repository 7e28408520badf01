// Package buildsys embeds the recipes that trees without their own Dockerfile are built with. It is
// at the root because go:embed reaches only files below its package's directory.
package buildsys

import "embed"

// Recipe holds the Dockerfile, its tools and macros, what is different for trees written for
// Twoliter, and the recipe of the SDK image.
//
//go:embed Dockerfile tools macros sdk twoliter
var Recipe embed.FS

// Base holds what a new tree begins with of Skiff: the packages that any image needs, a console,
// and how long they take.
//
//go:embed packages/busybox packages/console packages/filesystem packages/findutils packages/grub
//go:embed packages/kernel packages/linux-headers packages/musl packages/release
//go:embed packages/systemd-stub packages/packages.rs variants/variants.rs durations.json
var Base embed.FS

// Epoch is the date of all outputs, 2025-01-01T00:00:00Z in Unix seconds. It is the one in the
// recipe's scripts (tools/lib/prelude), for outputs made in this process.
const Epoch = 1735689600

// Schemas holds the JSON Schemas of manifests and of the documents that commands print.
//
//go:embed docs/schemas
var Schemas embed.FS
