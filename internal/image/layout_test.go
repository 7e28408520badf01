package image

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// goldenTable is one line of partition-tables.jsonl, computed by Bottlerocket's scripts.
type goldenTable struct {
	Generation     string `json:"generation"`
	OSGiB          int    `json:"os_gib"`
	DataGiB        int    `json:"data_gib"`
	Plan           string `json:"plan"`
	InPlaceUpdates bool   `json:"in_place_updates"`
	Partitions     []struct {
		Key      string `json:"key"`
		Label    string `json:"label"`
		Type     string `json:"type"`
		GUID     string `json:"guid"`
		StartMiB int64  `json:"start_mib"`
		SizeMiB  int64  `json:"size_mib"`
		Disk     string `json:"disk"`
	} `json:"partitions"`
}

func TestGoldenTables(t *testing.T) {
	const file = "testdata/partition-tables.jsonl"
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	lines := bufio.NewScanner(f)
	for ; lines.Scan(); n++ {
		var want goldenTable
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatalf("%s:%d: %v", file, n+1, err)
		}
		compareTable(t, fmt.Sprintf("%s:%d", file, n+1), want)
	}
	if lines.Err() != nil || n < 10 {
		t.Errorf("%s: only %d lines read, error %v", file, n, lines.Err())
	}
}

// compareTable compares our layout of an OS called bottlerocket with one that those scripts
// computed.
func compareTable(t *testing.T, where string, want goldenTable) {
	t.Helper()
	l, err := New(Spec{
		Name: "bottlerocket", OSGiB: want.OSGiB, DataGiB: want.DataGiB, Plan: want.Plan,
		Form: Form{InPlaceUpdates: want.InPlaceUpdates},
	})
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	got := l.Partitions
	switch want.Generation {
	case "v1.9.2":
		got = asBottlerocket1(got)
	case "twoliter-0.5.0":
		for i := range got {
			if got[i].Type == typeData { // which Twoliter leaves without a label
				got[i].Label = ""
			}
		}
	default:
		t.Errorf("%s: generation %q is unknown", where, want.Generation)
	}
	if len(got) != len(want.Partitions) {
		t.Errorf("%s: %d partitions, want %d", where, len(got), len(want.Partitions))
		return
	}
	for i, w := range want.Partitions {
		if w.Type == "ef02" {
			w.Type = typeBIOS
		}
		wantRow := fmt.Sprint(w.Disk, w.Key, w.Label, strings.ToLower(w.Type), w.GUID, w.StartMiB,
			w.SizeMiB)
		g := got[i]
		if gotRow := fmt.Sprint(g.Disk, g.Key, g.Label, g.Type, g.GUID, g.StartMiB,
			g.SizeMiB); gotRow != wantRow {
			t.Errorf("%s: got  %s\nwant %s", where, gotRow, wantRow)
		}
	}
}

// asBottlerocket1 turns our partitions into those of Bottlerocket 1.9.2, which has one partition
// for data and reserves no entry for it on the OS disk of a split layout.
func asBottlerocket1(parts []Partition) []Partition {
	var old []Partition
	for _, p := range parts {
		switch {
		case p.Key == "PRIVATE":
			p.SizeMiB += placeholder
		case p.Key == "DATA-A" && p.GUID == dataFallback:
			continue
		case p.Type == typeData:
			p.Key, p.Label, p.GUID = "DATA", "BOTTLEROCKET-DATA", ""
			if p.Disk == OSDisk {
				p.StartMiB += placeholder
			}
		}
		old = append(old, p)
	}
	return old
}

func TestPublishSizes(t *testing.T) {
	const file = "testdata/publish-sizes.json"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		OS, Data, Hint int
		Split, Unified [2]int
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(rows) < 10 {
		t.Errorf("%s has only %d rows", file, len(rows))
	}
	for _, r := range rows {
		for plan, want := range map[string][2]int{Split: r.Split, Unified: r.Unified} {
			os, data := PublishSizes(r.OS, r.Data, r.Hint, plan)
			if [2]int{os, data} != want {
				t.Errorf("PublishSizes(%d, %d, %d, %s) = %d, %d, want %v", r.OS, r.Data, r.Hint, plan, os, data,
					want)
			}
		}
	}
}

// TestForms holds the layouts that Bottlerocket's scripts had no numbers for, from the source of
// Twoliter of 2026: keys with their sizes, all from 1 MiB on without gaps.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		spec  Spec
		disks string
		want  string
	}{
		{Spec{OSGiB: 2, DataGiB: 1, Plan: Split, Form: Form{UKI: true}}, "os 2048 data 1024",
			"BIOS 4 EFI-A 90 ROOT-A 1840 HASH-A 20 RESERVED-A 50 PRIVATE 41 DATA-A 1 DATA-B 1022"},
		{Spec{OSGiB: 2, DataGiB: 1, Plan: Unified, Form: Form{UKI: true}}, "os 3072",
			"BIOS 4 EFI-A 90 ROOT-A 1840 HASH-A 20 RESERVED-A 50 PRIVATE 41 DATA-A 1024"},
		{Spec{OSGiB: 4, DataGiB: 1, Plan: Unified, Form: Form{UKI: true}}, "os 5120",
			"BIOS 4 EFI-A 170 ROOT-A 3680 HASH-A 40 RESERVED-A 110 PRIVATE 89 DATA-A 1024"},
		{Spec{OSGiB: 2, DataGiB: 1, Plan: Unified}, "os 3072",
			"BIOS 4 EFI-A 10 BOOT-A 80 ROOT-A 1840 HASH-A 20 RESERVED-A 50 PRIVATE 41 DATA-A 1024"},
		{Spec{OSGiB: 1, DataGiB: 1, Plan: Unified, Form: Form{Standalone: true}}, "os 1024",
			"BIOS 4 EFI-A 10 BOOT-A 40 ROOT-A 958 HASH-A 10"},
		{Spec{OSGiB: 2, DataGiB: 1, Plan: Unified, Form: Form{Standalone: true}}, "os 2048",
			"BIOS 4 EFI-A 10 BOOT-A 80 ROOT-A 1932 HASH-A 20"},
		{Spec{OSGiB: 1, DataGiB: 1, Plan: Unified, Form: Form{Standalone: true, UKI: true}}, "os 1024",
			"BIOS 4 EFI-A 50 ROOT-A 958 HASH-A 10"},
	} {
		c.spec.Name = "bottlerocket"
		l, err := New(c.spec)
		var disks, parts []string
		for _, d := range l.Disks {
			disks = append(disks, fmt.Sprintf("%s %d", d.Name, d.SizeMiB))
		}
		next := map[string]int64{}
		for _, p := range l.Partitions {
			parts = append(parts, fmt.Sprintf("%s %d", p.Key, p.SizeMiB))
			if p.StartMiB != 1+next[p.Disk] {
				t.Errorf("%+v: %s starts at %d", c.spec, p.Key, p.StartMiB)
			}
			next[p.Disk] += p.SizeMiB
		}
		if got := strings.Join(parts, " "); err != nil || got != c.want ||
			strings.Join(disks, " ") != c.disks {
			t.Errorf("%+v: %v\ngot  %s: %s\nwant %s: %s", c.spec, err, disks, got, c.disks, c.want)
		}
	}
}

func TestNewErrors(t *testing.T) {
	good := Spec{Name: "skiff", OSGiB: 1, DataGiB: 1, Plan: Split,
		Form: Form{InPlaceUpdates: true}}
	tests := []struct {
		change func(*Spec)
		want   string
	}{
		{func(s *Spec) { s.OSGiB = 0 }, "os-image-size-gib is 0: it must be between 1 and 65535"},
		{func(s *Spec) { s.DataGiB = -1 }, "data-image-size-gib is -1: it must be between 1 and 65535"},
		{func(s *Spec) { s.OSGiB = 65536 }, "os-image-size-gib is 65536: it must be between 1 and 65535"},
		{func(s *Spec) { s.Plan = "sideways" },
			`partition-plan "sideways" is unknown: use "split" or "unified"`},
		{func(s *Spec) { s.Name = "" },
			`OS name "" must have 1 to 25 characters to be part of partition labels`},
		{func(s *Spec) { s.Name = "a b" },
			`OS name "a b" has ' ', which is not allowed in partition labels: use letters, digits, - and _`},
		{func(s *Spec) { s.UKI = true }, "an image that is started as one program or standalone has " +
			"one bank: switch in-place-updates off"},
		{func(s *Spec) { s.Form = Form{Standalone: true} },
			`a standalone image has one disk: write partition-plan = "unified"`},
	}
	for _, test := range tests {
		s := good
		test.change(&s)
		if _, err := New(s); err == nil || err.Error() != test.want {
			t.Errorf("New(%+v): error %v, want %s", s, err, test.want)
		}
	}
}

func TestValidateNamesPartitionAndSizes(t *testing.T) {
	tests := []struct {
		change func(*Layout)
		want   string
	}{
		{func(l *Layout) { l.Partitions[11].SizeMiB = -7 },
			"partition PRIVATE needs at least 1 MiB, but -7 MiB are available: make the image larger"},
		{func(l *Layout) { l.Disks[0].SizeMiB = 512 },
			"partition BOOT-B needs 20 MiB, but 1 MiB are available after 510 MiB of the os disk of 512 " +
				"MiB: make the image larger"},
		{func(l *Layout) { l.Partitions[3].StartMiB-- },
			"partition ROOT-A starts at 29 MiB of the os disk, but BOOT-A ends at 30 MiB"},
		{func(l *Layout) { l.Partitions[0].StartMiB-- },
			"partition BIOS starts at 0 MiB of the os disk, but the partition table ends at 1 MiB"},
		{func(l *Layout) { l.Disks = l.Disks[:1] },
			`partition DATA-B is on disk "data", which the layout does not have`},
	}
	for _, test := range tests {
		l, err := New(Spec{Name: "skiff", OSGiB: 1, DataGiB: 1, Form: Form{InPlaceUpdates: true}})
		if err != nil {
			t.Fatal(err)
		}
		test.change(&l)
		if err := l.Validate(); err == nil || err.Error() != test.want {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
}

func FuzzLayout(f *testing.F) {
	f.Add(1, 1, true, true, "skiff")
	f.Add(2, 20, false, false, "x")
	f.Add(65535, 65535, false, true, "")
	f.Fuzz(func(t *testing.T, osGiB, dataGiB int, unified, inPlace bool, name string) {
		s := Spec{OSGiB: osGiB, DataGiB: dataGiB, Form: Form{InPlaceUpdates: inPlace}, Name: name,
			Plan: Split}
		if unified {
			s.Plan = Unified
		}
		l, err := New(s)
		if err != nil {
			return
		}
		// A second check of Validate: no MiB of a disk is in two partitions or in a GPT.
		seen := map[string]bool{}
		end := map[string]int64{OSDisk: 1, DataDisk: 1}
		for _, p := range l.Partitions {
			d, _ := l.Disk(p.Disk)
			if p.SizeMiB < 1 || p.StartMiB != end[p.Disk] || p.StartMiB+p.SizeMiB > d.SizeMiB-1 ||
				seen[p.Key] || len(p.Label) > 36 {
				t.Fatalf("%+v: %+v on %+v", s, p, d)
			}
			end[p.Disk] = p.StartMiB + p.SizeMiB
			seen[p.Key] = true
		}
	})
}
