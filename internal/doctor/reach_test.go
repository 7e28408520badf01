package doctor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"buildsys/internal/network"
)

// TestServerOfTreeIsNotAskedOnPrivateNetworks, nor is the text of a server's status shown.
func TestServerOfTreeIsNotAskedOnPrivateNetworks(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer srv.Close()
	for reach, want := range map[network.Reach]Status{network.PublicOnly: Warning, 0: OK} {
		asked = 0
		c, _ := Request{}.server(t.Context(), Server{Name: "it", URL: srv.URL, Reach: reach})
		if c.Status != want || (asked > 0) != (want == OK) ||
			want == Warning && !strings.Contains(c.Detail, "not a public address") {
			t.Errorf("%+v, asked %d times", c, asked)
		}
	}
}
