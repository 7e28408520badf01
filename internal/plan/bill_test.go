// bill_test: images have what their packages are built from, and packages have nothing of it.

package plan

import (
	"strings"
	"testing"
)

func TestBillOfImage(t *testing.T) {
	r := request()
	r.Image = true
	p := mustMake(t, tree(), r)
	for _, s := range p.Steps {
		if (s.Bill != nil) != (s.Kind == Variant) {
			t.Errorf("%s: a bill: %v", s.ID, s.Bill != nil)
		}
	}
	b := p.Steps[len(p.Steps)-1].Bill
	if b == nil || b.Name != "tiny-qemu-dev-x86_64-1.0.0-abc" || b.Supplier != "Tiny OS" {
		t.Fatalf("the bill is %+v", b)
	}
	var app BillSource
	for _, s := range b.Sources {
		if s.Package == "app" {
			app = s
		}
	}
	if len(app.Archives) != 1 || app.Archives[0].URL != "https://example.com/app-1.tar.gz" ||
		len(app.Files) != 1 || app.Files[0].Name != "a.patch" || len(app.Groups) != 1 {
		t.Errorf("the bill says of app: %+v", app)
	}
	// The address of a source is in no key of packages, and must be in that of the image.
	other := tree()
	other["packages/app/Cargo.toml"].Data = []byte(strings.Replace(
		string(other["packages/app/Cargo.toml"].Data), "https://example.com/", "https://example.org/", 1))
	q := mustMake(t, other, r)
	if string(q.Steps[len(q.Steps)-1].Bill.Text()) == string(b.Text()) {
		t.Error("another URL of a source gives the same bill")
	}
	r.Identity.Dev = true
	p = mustMake(t, tree(), r)
	if last := p.Steps[len(p.Steps)-1]; last.Bill != nil {
		t.Errorf("%s has a bill", last.ID)
	}
}
