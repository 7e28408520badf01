// identify: the names that scanners know parts by: package URLs, CPEs and licences.

package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"
	"github.com/package-url/packageurl-go"
)

// notInID are the characters that identifiers of SPDX do not have.
var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// purl returns the package URL of an RPM.
func (d Document) purl(p Package) string {
	q := packageurl.Qualifiers{{Key: "arch", Value: p.Arch}}
	if p.Epoch != "" && p.Epoch != "0" {
		q = append(q, packageurl.Qualifier{Key: "epoch", Value: p.Epoch})
	}
	if p.SourceRPM != "" {
		q = append(q, packageurl.Qualifier{Key: "upstream", Value: p.SourceRPM})
	}
	return packageurl.NewPackageURL(packageurl.TypeRPM, d.OS, p.Name, p.Version+"-"+p.Release, q,
		"").ToString()
}

// sourceURL returns the package URL of a source package.
func (d Document) sourceURL(s Source) string {
	return packageurl.NewPackageURL(packageurl.TypeRPM, d.OS, s.Name, s.Version+"-"+s.Release,
		packageurl.Qualifiers{{Key: "arch", Value: "src"}}, "").ToString()
}

// purl returns the package URL of a module.
func (m Module) purl() string {
	namespace, name := "", m.Name
	if i := strings.LastIndexByte(m.Name, '/'); i >= 0 {
		namespace, name = m.Name[:i], m.Name[i+1:]
	}
	return packageurl.NewPackageURL(m.Type, namespace, name, m.Version, nil, "").ToString()
}

// products are the vendor and the product in the CPEs of the National Vulnerability Database, by
// the names of packages. Only those that are known are here: a guess would find the flaws of
// others.
var products = map[string]string{
	"acl": "a:acl_project:acl", "audit": "a:linux_audit_project:linux_audit",
	"bash": "a:gnu:bash", "busybox": "a:busybox:busybox", "chrony": "a:tuxfamily:chrony",
	"containerd": "a:linuxfoundation:containerd", "coreutils": "a:gnu:coreutils",
	"dbus-broker": "a:dbus-broker_project:dbus-broker", "docker-engine": "a:mobyproject:moby",
	"e2fsprogs": "a:e2fsprogs_project:e2fsprogs", "findutils": "a:gnu:findutils",
	"glibc": "a:gnu:glibc", "grep": "a:gnu:grep", "grub": "a:gnu:grub2",
	"iproute": "a:iproute2_project:iproute2", "iptables": "a:netfilter:iptables",
	"kernel": "o:linux:linux_kernel", "kexec-tools": "a:kexec-tools_project:kexec-tools",
	"kmod": "a:kernel:kmod", "kubernetes": "a:kubernetes:kubernetes",
	"less": "a:greenwoodsoftware:less", "libcap": "a:libcap_project:libcap",
	"libexpat": "a:libexpat_project:libexpat", "libpcre": "a:pcre:pcre2",
	"libseccomp": "a:libseccomp_project:libseccomp", "libselinux": "a:selinuxproject:selinux",
	"libxcrypt": "a:libxcrypt_project:libxcrypt", "musl": "a:musl-libc:musl",
	"ncurses": "a:gnu:ncurses", "open-vm-tools": "a:vmware:open_vm_tools",
	"policycoreutils": "a:selinuxproject:policycoreutils", "procps": "a:procps-ng_project:procps-ng",
	"readline": "a:gnu:readline", "runc": "a:linuxfoundation:runc", "shim": "a:redhat:shim",
	"socat": "a:dest-unreach:socat", "systemd": "a:systemd_project:systemd",
	"systemd-stub": "a:systemd_project:systemd", "util-linux": "a:kernel:util-linux",
	"wicked": "a:opensuse:wicked", "xfsprogs": "a:xfsprogs_project:xfsprogs",
}

// cpeVersion are versions that CPEs have as they are.
var cpeVersion = regexp.MustCompile(`^[0-9A-Za-z._]+$`)

// cpe returns the CPE 2.3 of what a source package has, or "".
func (d Document) cpe(source, version string) string {
	name := strings.TrimPrefix(source, d.OS+"-")
	product := products[name]
	if base, number, ok := strings.Cut(name, "-"); ok && product == "" && number != "" &&
		strings.Trim(number, "0123456789.") == "" { // "kernel-6.1"
		product = products[base]
	}
	if product == "" || !cpeVersion.MatchString(version) {
		return ""
	}
	return "cpe:2.3:" + product + ":" + version + ":*:*:*:*:*:*:*"
}

const maxExpression = 2000 // bytes of an expression of licences

// expression returns the licences of a tag as an SPDX expression. own is true if it has a name made
// up for it, because the tag is none.
func expression(tag string) (text string, own bool) {
	tag = strings.TrimSpace(tag)
	if tag == "" {
		return noAssertion, false
	}
	if len(tag) <= maxExpression {
		if ok, _ := spdxexp.ValidateLicenses([]string{tag}); ok {
			return tag, false
		}
	}
	sum := sha256.Sum256([]byte(tag))
	name := strings.Trim(notInID.ReplaceAllString(tag, "-"), "-")
	return "LicenseRef-" + name[:min(len(name), 40)] + "-" + hex.EncodeToString(sum[:4]), true
}

// textID returns the name of the text of a licence in SPDX.
func textID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "LicenseRef-text-" + hex.EncodeToString(sum[:8])
}

// address returns an address if it is one of the web, else "".
func address(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ftp" || u.Host == "" ||
		strings.ContainsAny(text, " \t\n<>\"{}|\\^`") {
		return ""
	}
	return text
}
