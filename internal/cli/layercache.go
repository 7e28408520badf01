// layercache: where engines share layers, from settings to the engine's options.

package cli

import (
	"errors"
	"strings"

	"buildsys/internal/enginex"
	"buildsys/internal/errkind"
	"buildsys/internal/remote"
)

// layerCache reads BUILDSYS_LAYER_CACHE_FROM and BUILDSYS_LAYER_CACHE_TO. With --release no layers of others are used.
func (c *config) layerCache(from, to string) error {
	for text := range strings.SplitSeq(from, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		place, err := layerPlace(text)
		if err != nil {
			return errkind.Usagef("BUILDSYS_LAYER_CACHE_FROM: %w", err)
		}
		if !c.release {
			c.engine.Layers.From = append(c.engine.Layers.From, place)
		}
	}
	if to = strings.TrimSpace(to); to == "" {
		return nil
	}
	place, err := layerPlace(to)
	if err != nil {
		return errkind.Usagef("BUILDSYS_LAYER_CACHE_TO: %w", err)
	}
	c.engine.Layers.To = place
	return nil
}

// layerPlace reads oci://HOST/REPOSITORY. Nothing else will do: it is the engine that goes there.
func layerPlace(text string) (enginex.LayerPlace, error) {
	l, err := remote.ParseLocation(text, "/")
	if err == nil && l.Dir != "" {
		err = errors.New("layers are shared through a registry only: use oci://HOST/REPOSITORY (oci+http:// without TLS)")
	}
	return enginex.LayerPlace{Repository: l.Host + "/" + l.Repo, Plain: l.Plain}, err
}
