package issuer

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	keyBits      = 2048
	keyPrefix    = "signing-"
	keySuffix    = ".pem"
	keyTime      = "20060102T150405Z"
	keyBlockType = "PRIVATE KEY" // PKCS #8
	// keepPublished is for how long a key stays published after its successor took over: the
	// longest life of what it signed, and room for receivers' clocks.
	keepPublished = MaxIDTokenLifetime + 10*time.Minute
	// clockTolerance lets a clock be set back a little between two starts.
	clockTolerance = 5 * time.Minute
)

// Keys are an issuer's signing keys. Each is a file in one folder, whose name says from when
// the key signs:
//
//	signing-20261123T130000Z.pem    PKCS #8, mode 0600
//
// A key whose time has not come is published already, because AWS and the apps keep the key set
// they fetched for hours: to change keys, add one whose time is a day ahead. A key stays
// published until what it signed has expired, and may then be deleted.
type Keys struct {
	folder  string
	current atomic.Pointer[[]signingKey] // by the time from which they sign; never changed, only replaced
}

type signingKey struct {
	id      string // RFC 7638 thumbprint
	from    time.Time
	private *rsa.PrivateKey
	public  []byte // a JWK, as published
}

// OpenKeys reads the keys in a folder, and makes the first one where there is none. The folder
// is made with mode 0700.
func OpenKeys(folder string, now time.Time) (*Keys, error) {
	k := &Keys{folder: folder}
	return k, k.open(now)
}

func (k *Keys) open(now time.Time) error {
	keys, err := openKeys(k.folder, now)
	if err == nil {
		k.current.Store(&keys)
	}
	return err
}

// Reload reads the folder again: another gateway may have put a key there. On an error the keys
// stay as they were.
func (k *Keys) Reload(now time.Time) error { return k.open(now) }

// Add makes a key that signs from a time on, and publishes it at once.
func (k *Keys) Add(from, now time.Time) (KeyInfo, error) {
	// A key's name is its second.
	from = from.UTC().Truncate(time.Second)
	for slices.ContainsFunc(k.List(now), func(key KeyInfo) bool { return key.From.Equal(from) }) {
		from = from.Add(time.Second)
	}
	if err := makeKey(k.folder, from); err != nil {
		return KeyInfo{}, fmt.Errorf("make a signing key in %s: %w", k.folder, err)
	}
	if err := k.open(now); err != nil {
		return KeyInfo{}, err
	}
	for _, key := range k.List(now) {
		if key.From.Equal(from) {
			return key, nil
		}
	}
	return KeyInfo{}, errors.New("the new signing key is not among those that were read")
}

// KeyInfo is what may be told of a key.
type KeyInfo struct {
	ID    string
	From  time.Time
	Signs bool
}

// List tells of all keys, the oldest first.
func (k *Keys) List(now time.Time) []KeyInfo {
	signing := k.signing(now)
	var all []KeyInfo
	for _, key := range *k.current.Load() {
		all = append(all, KeyInfo{ID: key.id, From: key.from, Signs: key.id == signing.id})
	}
	return all
}

func openKeys(folder string, now time.Time) ([]signingKey, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the signing keys: %w", err)
	}
	keys, err := readKeys(folder)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		if err := makeKey(folder, now); err != nil {
			return nil, fmt.Errorf("make a signing key in %s: %w", folder, err)
		}
		if keys, err = readKeys(folder); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(keys, func(a, b signingKey) int { return a.from.Compare(b.from) })
	// Somebody who moved the last key away did so for a reason: signing with one whose time
	// has not come would surprise them and the receivers.
	if keys[0].from.After(now.Add(clockTolerance)) {
		return nil, fmt.Errorf("read signing keys in %s: the first one signs from %s only; restore the one before it, or check this machine's clock",
			folder, keys[0].from.Format(time.RFC3339))
	}
	return keys, nil
}

func readKeys(folder string) ([]signingKey, error) {
	paths, err := filepath.Glob(filepath.Join(folder, keyPrefix+"*"+keySuffix))
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	var keys []signingKey
	for _, path := range paths {
		key, err := readKey(path)
		if err != nil {
			return nil, fmt.Errorf("read signing key %s: %w", path, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func readKey(path string) (signingKey, error) {
	stamp := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), keyPrefix), keySuffix)
	from, err := time.Parse(keyTime, stamp)
	if err != nil {
		return signingKey{}, fmt.Errorf("its name has no time like %s from which it signs", keyTime)
	}
	info, err := os.Stat(path)
	if err != nil {
		return signingKey{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return signingKey{}, fmt.Errorf("others can read it; run: chmod 600 %s, and replace the key if somebody may have read it", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return signingKey{}, err
	}
	private, err := parseKey(content)
	if err != nil {
		return signingKey{}, err
	}
	return newSigningKey(private, from)
}

func parseKey(content []byte) (*rsa.PrivateKey, error) {
	block, rest := pem.Decode(content)
	if block == nil || block.Type != keyBlockType || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("it is not one PEM block %q (PKCS #8)", keyBlockType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it is not a PKCS #8 key; restore it from your backup")
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() < keyBits {
		return nil, fmt.Errorf("it is not an RSA key of %d bits or more, which AWS asks for", keyBits)
	}
	return private, nil
}

func newSigningKey(private *rsa.PrivateKey, from time.Time) (signingKey, error) {
	jwk := jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.RS256), Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return signingKey{}, fmt.Errorf("name the key: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	public, err := jwk.MarshalJSON()
	if err != nil {
		return signingKey{}, fmt.Errorf("publish the key: %w", err)
	}
	return signingKey{id: jwk.KeyID, from: from, private: private, public: public}, nil
}

// makeKey writes the file whole before it gets its name, so that no half key is ever read.
func makeKey(folder string, from time.Time) error {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // an error once it is renamed, which is what is wanted
	err = pem.Encode(file, &pem.Block{Type: keyBlockType, Bytes: encoded})
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	name := keyPrefix + from.UTC().Format(keyTime) + keySuffix
	if err := os.Rename(file.Name(), filepath.Join(folder, name)); err != nil {
		return err
	}
	opened, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

// signing is the newest key whose time has come. OpenKeys made sure that there is one.
func (k *Keys) signing(now time.Time) signingKey {
	keys := *k.current.Load()
	current := keys[0]
	for _, key := range keys[1:] {
		if !key.from.After(now) {
			current = key
		}
	}
	return current
}

// published is the key set as receivers fetch it.
func (k *Keys) published(now time.Time) []byte {
	var set [][]byte
	keys := *k.current.Load()
	for n, key := range keys {
		if n+1 < len(keys) && !keys[n+1].from.Add(keepPublished).After(now) {
			continue // its successor took over so long ago that nothing it signed is valid
		}
		set = append(set, key.public)
	}
	return slices.Concat([]byte(`{"keys":[`), bytes.Join(set, []byte(",")), []byte("]}"))
}
