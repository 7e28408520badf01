// Probe: whether a place answers and lets this user in, asked once and without the patience of a
// build.

package remote

import "context"

// Probe asks a place for something that it does not have. Its error says what is wrong and, for
// credentials, what to do.
func Probe(ctx context.Context, place Location) error {
	t, err := newTarget(place, Options{Limits: Limits{}.withDefaults(), Warn: func(string) {}}, "read")
	if err != nil {
		return err
	}
	_, err = t.back.hasManifest(ctx, "doctor")
	return err
}
