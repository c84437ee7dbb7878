package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

//go:embed assets
var assetFiles embed.FS

// AssetsPath is where [Pages.Assets] is mounted, once for all tenants: the files are the same.
const AssetsPath = "/assets/"

// assets are the files that pages link to. The content's hash is in the name, so that browsers
// keep them for good and a new release is seen at once.
type assets struct{ style, mark asset }

type asset struct {
	path        string
	contentType string
	content     []byte
}

func loadAssets() (*assets, error) {
	style, err := loadAsset("style", ".css", "text/css; charset=utf-8")
	if err != nil {
		return nil, err
	}
	mark, err := loadAsset("mark", ".svg", "image/svg+xml")
	if err != nil {
		return nil, err
	}
	return &assets{style, mark}, nil
}

func loadAsset(name, extension, contentType string) (asset, error) {
	content, err := assetFiles.ReadFile("assets/" + name + extension)
	if err != nil {
		return asset{}, fmt.Errorf("load asset: %w", err)
	}
	hash := sha256.Sum256(content)
	path := AssetsPath + name + "-" + hex.EncodeToString(hash[:6]) + extension
	return asset{path, contentType, content}, nil
}

// Assets serves the style sheet and the mark under [AssetsPath].
func (p *Pages) Assets() http.Handler {
	byPath := map[string]asset{p.assets.style.path: p.assets.style, p.assets.mark.path: p.assets.mark}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, ok := byPath[r.URL.Path]
		if !ok {
			p.NotFound(w, r)
			return
		}
		header := w.Header()
		header.Set("Content-Type", found.contentType)
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.content))
	})
}
