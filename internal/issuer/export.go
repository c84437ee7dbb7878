package issuer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// The paths of what is published, beneath the issuer's URL. AWS finds the first by itself (OpenID
// Connect Discovery §4) and the second in it.
const (
	discoveryPath = ".well-known/openid-configuration"
	keysPath      = "oauth2/jwks"
)

// discoveryDocument is what somebody needs who verifies assertions and signs nobody in.
type discoveryDocument struct {
	Issuer            string   `json:"issuer"`
	JWKSURI           string   `json:"jwks_uri"`
	ResponseTypes     []string `json:"response_types_supported"`
	SubjectTypes      []string `json:"subject_types_supported"`
	IDTokenAlgorithms []string `json:"id_token_signing_alg_values_supported"`
	Claims            []string `json:"claims_supported"`
}

// Export writes the discovery document and the public keys beneath a folder, to be served at the
// issuer's URL by any web server while the gateway itself cannot be reached from outside. A file that
// is there already is replaced as a whole. It gives the paths that were written.
func (i *Issuer) Export(folder string) ([]string, error) {
	discovery, err := json.MarshalIndent(discoveryDocument{
		Issuer: i.url, JWKSURI: i.url + "/" + keysPath, ResponseTypes: []string{"id_token"}, SubjectTypes: []string{"public"},
		IDTokenAlgorithms: []string{"RS256"}, Claims: []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "email"},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the discovery document: %w", err)
	}
	var written []string
	for _, file := range []struct {
		path    string
		content []byte
	}{{keysPath, i.JWKS()}, {discoveryPath, append(discovery, '\n')}} { // keys first: nothing points to what is not there
		path := filepath.Join(folder, filepath.FromSlash(file.path))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = writeFile(path, file.content, 0o644)
		}
		if err != nil {
			return written, fmt.Errorf("export: %w", err)
		}
		written = append(written, path)
	}
	return written, nil
}

// writeFile writes a file so that a reader sees the old or the new one.
func writeFile(path string, content []byte, mode os.FileMode) error {
	fresh, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) // nothing is left of it after the rename
	_, err = fresh.Write(content)
	if err == nil {
		err = fresh.Chmod(mode)
	}
	if closeErr := fresh.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}
