package image

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"buildsys/internal/golden"
	"buildsys/internal/manifest"
)

func sample(t *testing.T, plan string, inPlace bool, id Identity) Layout {
	t.Helper()
	l, err := ForVariant(manifest.ImageLayout{OSImageSizeGiB: 1, DataImageSizeGiB: 1,
		PartitionPlan: plan}, Form{InPlaceUpdates: inPlace}, id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func sampleID() Identity {
	return Identity{Name: "skiff", Variant: "qemu-dev", Arch: "x86_64", Version: "0.1.0"}
}

// The example of RFC 9562, appendix A.4.
func TestUUID5(t *testing.T) {
	dns := [16]byte{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4,
		0x30, 0xc8}
	if got, want := formatUUID(uuid5(dns,
		"www.example.com")), "2ed6657d-e927-568b-95e1-2665a8aea6a2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTSVGolden(t *testing.T) {
	for name, l := range map[string]Layout{
		"split-ab.tsv":       sample(t, Split, true, sampleID()),
		"split-single.tsv":   sample(t, Split, false, sampleID()),
		"unified-ab.tsv":     sample(t, Unified, true, sampleID()),
		"unified-single.tsv": sample(t, Unified, false, sampleID()),
	} {
		golden.Equal(t, filepath.Join("testdata", name), l.TSV())
	}
}

// TestTSVHasNoEmptyField: the shell's read would swallow an empty field and shift those after it.
func TestTSVHasNoEmptyField(t *testing.T) {
	// Without identifiers.
	l, err := New(Spec{Name: "skiff", OSGiB: 1, DataGiB: 1, Form: Form{InPlaceUpdates: true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(l.TSV()), "\n"), "\n") {
		for _, field := range strings.Split(line, "\t") {
			if field == "" {
				t.Errorf("empty field in %q", line)
			}
		}
		if !strings.HasPrefix(line, "#") && strings.Count(line, "\t") != 9 {
			t.Errorf("line without 10 columns: %q", line)
		}
	}
}

func TestIDsAreUniqueAndStable(t *testing.T) {
	uuid := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	id := sampleID()
	base := sample(t, Split, true, id)
	if string(base.TSV()) != string(sample(t, Split, true, id).TSV()) {
		t.Error("the same identity gave two different tables")
	}
	fixed := map[string]bool{dataPreferred: true, dataFallback: true}
	owner := map[string]string{}
	collect := func(l Layout, who string) {
		unique := []string{l.Salt, l.VerityUUID}
		for _, d := range l.Disks {
			unique = append(unique, d.GUID)
		}
		for _, p := range l.Partitions {
			if p.GUID == "" {
				t.Errorf("%s: %s has no GUID", who, p.Key)
			}
			unique = append(unique, p.GUID)
			if p.FSUUID != "" {
				unique = append(unique, p.FSUUID)
			}
		}
		for _, u := range unique {
			if u != l.Salt && !uuid.MatchString(u) {
				t.Errorf("%s: %q is no UUID", who, u)
			}
			if other, taken := owner[u]; taken && !fixed[u] {
				t.Errorf("%s is used by %s and by %s", u, other, who)
			}
			owner[u] = who
		}
	}
	collect(base, "base")
	for who, change := range map[string]func(*Identity){
		"other name":    func(i *Identity) { i.Name = "dinghy" },
		"other variant": func(i *Identity) { i.Variant = "qemu-prod" },
		"other arch":    func(i *Identity) { i.Arch = "aarch64" },
		"other version": func(i *Identity) { i.Version = "0.1.1" },
	} {
		id := sampleID()
		change(&id)
		collect(sample(t, Split, true, id), who)
	}
	if len(base.Salt) != 64 {
		t.Errorf("salt %q has %d digits, want 64", base.Salt, len(base.Salt))
	}
}
