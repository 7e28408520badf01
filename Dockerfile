# buildsys-recipe: 2
#
# The recipe: how RPMs (target `package`) and disk images (target `variant`) are made. buildsys runs it with its own
# Dockerfile frontend and names every input; nothing else is visible and the network is off. Contexts, all read-only:
#   buildsys.invalid/recipe    of tools/ the directories that the target uses, for packages and images macros/ as well:
#                              an edit of another target's tools leaves the keys of this one's steps alone
#   buildsys.invalid/package   packages/<name>/* and its external files, flat
#   buildsys.invalid/sources   sources/<group>/ for each of the package's source groups
#   buildsys.invalid/rpms      <package>/*.rpm for each package that this step may see
#   buildsys.invalid/image     partitions.tsv, image.ovf of an appliance, keys/ with public keys (targets of images only)
# .invalid never resolves (RFC 2606): a missing context fails, it is never pulled from a registry.
# Each target is one RUN, three for signed images: a container costs about 0.4 s whatever it does. A line that begins with
# "# ---- target" begins a part of the file that only the targets it names are given, up to the next such line: its edits
# leave other targets' keys alone. For trees written for Twoliter, the parts in twoliter/Dockerfile take the places of those with
# the same names. Their SDK image ends with another user than root, hence USER after each FROM.

# The SDK image. Always given, by content; there is no default that could be pulled by surprise.
ARG SDK
# "signed" for images with uefi-secure-boot.
ARG UEFI_SECURE_BOOT=unsigned

# ---- target `package`: the RPMs of one package ---------------------------------------------------------------------

FROM ${SDK} AS rpmbuild
USER root
ARG PACKAGE
ARG ARCH
ARG GOARCH
# Given only to packages that declare variant-sensitive, so that all others are shared by every variant.
ARG VARIANT
ARG VARIANT_PLATFORM
ARG VARIANT_RUNTIME
ARG VARIANT_FAMILY
ARG VARIANT_FLAVOR
# The image features of the variant that the package lists in package-features, separated by spaces.
ARG PACKAGE_FEATURES
# Given only by `build-package --verify-reproducible`: build in surroundings that must not matter.
ARG VARY
# The socket is there where buildsys serves what compilers made in earlier builds (--compile-cache): the same bytes, sooner.
# At the other one a step that fails says why once more, should the engine lose the end of its output.
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/package,target=/host/package \
    --mount=from=buildsys.invalid/sources,target=/host/sources \
    --mount=from=buildsys.invalid/rpms,target=/host/rpms \
    --mount=type=ssh,id=buildsys-objects,target=/host/objects,uid=1000,gid=1000,mode=0600,required=false \
    --mount=type=ssh,id=buildsys-last-lines,target=/host/last-lines,mode=0600,required=false \
    bash /host/recipe/tools/package/build-rpm

FROM scratch AS package
COPY --from=rpmbuild /output/ /


# ---- target `variant`: the disk image of one variant ----------------------------------------------------------------
# Contexts: recipe, rpms, image, and
#   buildsys.invalid/kmod-kit  what the target `kmod-kit` made for the variant, if anything

FROM ${SDK} AS imgbuild
USER root
# included-packages, separated by spaces, without the OS prefix.
ARG PACKAGES
ARG ARCH
ARG GOARCH
ARG VARIANT
ARG VARIANT_PLATFORM
ARG VARIANT_RUNTIME
ARG VARIANT_FAMILY
ARG VARIANT_FLAVOR
ARG VERSION_ID
ARG BUILD_ID
ARG NAME
ARG PRETTY_NAME
ARG IMAGE_NAME
ARG IMAGE_FORMAT
# A word for each feature: its name when it is on, "no-" and its name when it is off.
ARG IMAGE_FEATURES
ARG PARTITION_PLAN
ARG KERNEL_PARAMETERS
# Given only to images of trees written for Twoliter: project-vendor, or the vendor from before it was a key.
ARG VENDOR_NAME
ARG UEFI_SECURE_BOOT
# Given only by `build-variant --verify-reproducible`, as to packages.
ARG VARY
# Given only for images that are to be booted at once (--dev): the disks as qcow2 without compression, and nothing else.
ARG DEV
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/rpms,target=/host/rpms \
    --mount=from=buildsys.invalid/image,target=/host/image \
    --mount=from=buildsys.invalid/kmod-kit,target=/host/kmod-kit \
    bash /host/recipe/tools/image/build-variant

FROM imgbuild AS unfinished


# ---- target `kmod-kit`: the kmod kit of one variant, which needs only the kernel of what its image is made of ---------------
# Contexts: recipe, and
#   buildsys.invalid/rpms      <package>/*.rpm for each package that seems to make the archive of a kernel

FROM ${SDK} AS kmodkitbuild
USER root
ARG ARCH
ARG VARIANT
ARG VERSION_ID
# What the names of the kernel's RPMs begin with, without the OS prefix: patterns, separated by spaces.
ARG KERNELS
# Given only for trees written for Twoliter: the directory of the SDK image with the compiler, for the kit.
ARG TOOLCHAIN_DIR
# Given only by `build-variant --verify-reproducible`, as to packages.
ARG VARY
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/rpms,target=/host/rpms \
    bash /host/recipe/tools/kmodkit/build-kmod-kit

FROM scratch AS kmod-kit
COPY --from=kmodkitbuild /output/ /


# ---- target `repack`: the disk image of one variant from an earlier one ----------------------------------------------
# Contexts: recipe, image as for `variant`, and
#   buildsys.invalid/source    the outputs of that image's build: os.img.lz4, os.qcow2 or os.vmdk, application-inventory.json,
#                              migrations.tar, kmod-kit.tar.xz

FROM ${SDK} AS imgrepack
USER root
ARG ARCH
ARG VARIANT
ARG VERSION_ID
ARG BUILD_ID
ARG NAME
ARG PRETTY_NAME
ARG IMAGE_NAME
ARG IMAGE_FORMAT
ARG IMAGE_FEATURES
ARG KERNEL_PARAMETERS
ARG UEFI_SECURE_BOOT
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/source,target=/host/source \
    --mount=from=buildsys.invalid/image,target=/host/image \
    bash /host/recipe/tools/repack/img2img /host/source /host/image/partitions.tsv /output

FROM imgrepack AS unfinished


# ---- targets `variant` and `repack`: signatures, and the disks of signed images --------------------------------------
# The stage before is `unfinished`: for signed images it left /unfinished/state, and else /output with everything. The engine
# looks through the directory that has the source of a mount, which must not be the root: /unfinished, /signatures.
# Only `signatures` has the private keys, as secrets, so that they are in no layer and in no argument: those of them that the
# image is signed with. It sees the few files to sign: no RPM, no image, no disk.

FROM ${SDK} AS signatures
USER root
ARG ARCH
ARG VARIANT
ARG IMAGE_FORMAT
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/image,source=keys,target=/host/keys \
    --mount=from=unfinished,source=/unfinished/state/sign,target=/host/sign \
    --mount=type=secret,id=code-sign.key,target=/host/secrets/code-sign.key \
    --mount=type=secret,id=config-sign.key,target=/host/secrets/config-sign.key \
    --mount=type=secret,id=shim-sign.key,target=/host/secrets/shim-sign.key \
    --mount=type=secret,id=uki-sign.key,target=/host/secrets/uki-sign.key \
    bash /host/recipe/tools/disk/sign-boot /host/sign /host/keys /host/secrets /signatures/signed

FROM ${SDK} AS signed
USER root
ARG ARCH
ARG VARIANT
ARG VERSION_ID
ARG BUILD_ID
ARG NAME
ARG PRETTY_NAME
ARG IMAGE_NAME
ARG IMAGE_FORMAT
ARG IMAGE_FEATURES
ARG KERNEL_PARAMETERS
ARG UEFI_SECURE_BOOT
ARG VARY
ARG DEV
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/image,target=/host/image \
    --mount=from=unfinished,source=/unfinished/state,target=/host/state,rw \
    --mount=from=signatures,source=/signatures/signed,target=/host/signed \
    bash /host/recipe/tools/disk/finish-image /host/state /host/signed /host/image/partitions.tsv /output

FROM unfinished AS unsigned

FROM ${UEFI_SECURE_BOOT} AS image

FROM scratch AS variant
COPY --from=image /output/ /

FROM variant AS repack


# ---- target `modules`: the Go modules and crates that a package's source archives need, vendored ----------------------
# Contexts: recipe, and
#   buildsys.invalid/archives  the archives, bundles.tsv for Go, and crates.tsv
#   buildsys.invalid/modules   for each archive a Go module proxy, or its crates: what its go.sum or Cargo.lock names,
#                              fetched and checked by buildsys

FROM ${SDK} AS bundle
USER root
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/archives,target=/host/archives \
    --mount=from=buildsys.invalid/modules,target=/host/modules \
    bash /host/recipe/tools/modules/bundle-rust && bash /host/recipe/tools/modules/bundle-go

FROM scratch AS modules
COPY --from=bundle /output/ /


# ---- target `go`: the go command on first-party code, for `buildsys go` ------------------------------------------------
# Contexts: recipe, and
#   buildsys.invalid/module    the Go module
#   buildsys.invalid/proxy     a Go module proxy: what the module's go.sum names
#   buildsys.invalid/command   argv
# The one cache that the engine keeps between runs is that of compiled packages; nothing that is shipped sees it.

FROM ${SDK} AS gorun
USER root
ARG GOARCH
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/module,target=/host/module \
    --mount=from=buildsys.invalid/proxy,target=/host/proxy \
    --mount=from=buildsys.invalid/command,target=/host/command \
    --mount=type=cache,id=buildsys-gocache,target=/tmp/gocache \
    bash /host/recipe/tools/go/run-go

FROM scratch AS go
COPY --from=gorun /output/ /


# ---- target `kit`: the repository of the RPMs of one kit -----------------------------------------------------------------
# Contexts: recipe, and
#   buildsys.invalid/rpms      <package>/*.rpm for each package of the kit

FROM ${SDK} AS kitbuild
USER root
ARG KIT
ARG ARCH
# Given only by `build-kit --verify-reproducible`, as to packages.
ARG VARY
RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe \
    --mount=from=buildsys.invalid/rpms,target=/host/rpms \
    bash /host/recipe/tools/kit/rpm2kit

FROM scratch AS kit
COPY --from=kitbuild /output/ /
