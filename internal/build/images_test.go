package build

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/cachedir"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// warnings is an Output that keeps warnings.
type warnings struct {
	silent
	texts *[]string
}

func (w warnings) Event(e progress.Event) {
	if e.Kind == progress.Warning {
		*w.texts = append(*w.texts, e.Text)
	}
}

// madeImages is a checkout in which images of the variant v were made.
type madeImages struct {
	*Session
	t      *testing.T
	warned []string
	store  *cache.Store
}

func newMadeImages(t *testing.T) *madeImages {
	t.Helper()
	m := &madeImages{t: t}
	root := t.TempDir()
	m.Session = &Session{c: Config{Root: root, Arch: "x86_64", Variant: "v",
		CacheConfig: CacheConfig{CacheDir: cachedir.Dir(t.TempDir())}}, dir: builddir.In(root, "x86_64"),
		out: warnings{texts: &m.warned}}
	var err error
	m.store, err = m.openStore(m.out)
	m.must(err)
	return m
}

func (m *madeImages) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// make puts an image with a build ID in place, as a run does at an hour of 1 May 2030.
func (m *madeImages) make(variant, id string, hour int) cache.ActionID {
	m.t.Helper()
	s := m.with(m.c.WithVariant(variant))
	dir := filepath.Join(s.dir.Images(variant), "1.0-"+id)
	m.must(os.MkdirAll(dir, 0o755))
	name := fmt.Sprintf("os-%s-x86_64-1.0-%s.img.lz4", variant, id)
	m.must(os.WriteFile(filepath.Join(dir, name), []byte(id), 0o644))
	_ = os.Remove(s.latestDir())
	m.must(os.Symlink("1.0-"+id, s.latestDir()))
	var key cache.Transcript
	key.Add("arg", "VERSION_ID", "1.0")
	key.Add("arg", "BUILD_ID", id)
	e, err := m.store.Put(cache.Entry{Action: key.ID(), Step: s.stepOf(plan.Variant),
		Transcript: key.String()}, dir, "")
	m.must(err)
	m.must(builddir.WriteState("", m.dir.State(), "variant/"+variant, builddir.State{Action: e.Action,
		Content: e.Content, Transcript: e.Transcript}))
	m.must(builddir.Remember("", m.dir.State(), variant, builddir.History(m.dir.State(), variant),
		builddir.Placed{Action: e.Action, At: time.Date(2030, 5, 1, hour, 0, 0, 0, time.Local)}))
	return e.Action
}

// content returns what is in the image that a selector means, or the error.
func (m *madeImages) content(selector string) string {
	found, err := m.FindImage(m.t.Context(), selector)
	if err != nil {
		return err.Error()
	}
	data, err := os.ReadFile(found.Files[0])
	m.must(err)
	return string(data)
}

// TestFindImage: earlier images are found in the store, in the ways that names have.
func TestFindImage(t *testing.T) {
	m := newMadeImages(t)
	for i, id := range []string{"aa", "bb", "cc"} {
		m.make("v", id, 8+i)
	}
	m.make("v", "aa", 12) // it is the newest again, and counts once
	m.must(os.RemoveAll(filepath.Join(m.dir.Images("v"), "1.0-bb")))
	for selector, want := range map[string]string{
		"": "aa", "@latest": "aa", "~0": "aa", "~1": "cc", "~2": "bb", "~3": "there is no image v~3",
		"@1.0-bb": "bb", "@2030-05-01T09:30": "bb", "@2030-05-01": "aa", "@2030-04-30": "there is no",
		"~x": "write ~N with a number", "@abc": "at least four digits", "@nothex": "is none of",
		"@abcdef": "there is no image v@abcdef",
	} {
		if got := m.content(selector); !strings.Contains(got, want) {
			t.Errorf("v%s is %q, want %q", selector, got, want)
		}
	}
	if len(m.warned) > 0 {
		t.Errorf("warnings %q", m.warned)
	}
}

// TestFindImageOfTheCheckout: what a checkout brings along names no image that this user has not
// made as this variant's, and a newest image of others is warned of.
func TestFindImageOfTheCheckout(t *testing.T) {
	m := newMadeImages(t)
	m.make("v", "aa", 8)
	other := m.make("secret", "ss", 9)
	var unknown cache.Transcript
	unknown.Add("x", "y")
	history := builddir.History(m.dir.State(), "v")
	for _, action := range []cache.ActionID{other, unknown.ID()} {
		m.must(builddir.Remember("", m.dir.State(), "v", history, builddir.Placed{Action: action,
			At: time.Now()}))
		if all, err := m.EarlierImages(); err != nil || len(all) != 1 || all[0].Version() != "1.0-aa" {
			t.Errorf("images %+v, %v", all, err)
		}
	}
	newest := filepath.Join(m.latestDir(), "os-v-x86_64-1.0-aa.img.lz4")
	m.must(os.WriteFile(newest, []byte("theirs"), 0o644))
	found, err := m.FindImage(t.Context(), "")
	if err != nil || found.Entry != nil || len(m.warned) != 1 ||
		!strings.Contains(m.warned[0], "none that this user has made") {
		t.Errorf("the newest is %+v, %v; warnings %q", found, err, m.warned)
	}
}

// TestFindDamagedImage: the bytes of an earlier image are checked.
func TestFindDamagedImage(t *testing.T) {
	m := newMadeImages(t)
	m.make("v", "aa", 8)
	m.make("v", "bb", 9)
	found, err := m.FindImage(t.Context(), "~1")
	m.must(err)
	m.must(os.Chmod(found.Files[0], 0o644))
	m.must(os.WriteFile(found.Files[0], []byte("xx"), 0o644))
	if got := m.content("~1"); !strings.Contains(got, "cache verify") {
		t.Errorf("a damaged image is %q", got)
	}
	m.must(os.Remove(found.Files[0]))
	if got := m.content("~1"); !strings.Contains(got, "there is no image v~1") {
		t.Errorf("an image that is gone is %q", got)
	}
}

// TestHistoryStartsWithTheRecord: the image that was there before the first note has a name too.
func TestHistoryStartsWithTheRecord(t *testing.T) {
	m := newMadeImages(t)
	first := m.make("v", "aa", 8)
	old, _ := builddir.ReadState(m.dir.State(), "variant/v")
	second := m.make("v", "bb", 9)
	state, _ := builddir.ReadState(m.dir.State(), "variant/v")
	state.Previous = old.Transcript
	m.must(builddir.WriteState("", m.dir.State(), "variant/v", state))
	m.must(os.Remove(filepath.Join(m.dir.State(), "variant-v.images")))
	all, err := m.EarlierImages()
	if err != nil || len(all) != 2 || all[0].Entry.Action != second || all[1].Entry.Action != first {
		t.Errorf("images %+v, %v", all, err)
	}
}
