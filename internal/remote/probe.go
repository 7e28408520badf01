// probe: checks once that a location answers and grants access, without the retries of a build.

package remote

import "context"

// Probe asks a location for a manifest that it does not have. The error says what is wrong and, for
// credentials, what to do.
func Probe(ctx context.Context, place Location) error {
	o := Options{Limits: Limits{}.withDefaults(), Warn: func(string) {}}
	t, err := newTarget(place, o, "read")
	if err != nil {
		return err
	}
	_, err = t.back.hasManifest(ctx, "doctor")
	return err
}
