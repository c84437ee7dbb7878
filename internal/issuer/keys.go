package issuer

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
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

// Keys are an issuer's signing keys, each with a time from which it signs. Some are files in one
// folder, whose name says that time:
//
//	signing-20261123T130000Z.pem    PKCS #8, mode 0600
//
// Others are kept elsewhere and sign there ([RemoteKey]). Of all keys whose time has come, the newest
// signs, wherever it is kept.
//
// A key whose time has not come is published already, because AWS and the apps keep the key set
// they fetched for hours: to change keys, add one whose time is a day ahead. A key stays
// published until what it signed has expired, and may then be deleted.
type Keys struct {
	folder   string
	remote   []signingKey
	generate func() (*rsa.PrivateKey, error)
	current  atomic.Pointer[[]signingKey] // by the time from which they sign; never changed, only replaced
}

type signingKey struct {
	id     string // RFC 7638 thumbprint
	from   time.Time
	place  string // where it is kept, for people
	public []byte // a JWK, as published
	sign   func(ctx context.Context, digest []byte) ([]byte, error)
}

// KeyPlaces say where signing keys are kept.
type KeyPlaces struct {
	Folder string
	Remote []RemoteKey
	// Look leaves everything as it is: no first key is made where there is none.
	Look bool
}

// ErrNoKeys says that there is no key, and that none was to be made.
var ErrNoKeys = errors.New("there are no signing keys yet")

// OpenKeys reads the keys in a folder, and makes the first one where there is none. The folder
// is made with mode 0700.
func OpenKeys(folder string, now time.Time) (*Keys, error) {
	return KeyPlaces{Folder: folder}.Open(context.Background(), now)
}

// Open reads the keys in the folder and asks for the public halves of the others. Where there are
// none at all, it makes the first one in the folder.
func (p KeyPlaces) Open(ctx context.Context, now time.Time) (*Keys, error) {
	k := &Keys{folder: p.Folder, generate: generateKey}
	files, err := k.readFiles(now, p.Look || len(p.Remote) > 0)
	if err != nil {
		return nil, err
	}
	if k.remote, err = openRemote(ctx, p.Remote, files, now); err != nil {
		return nil, err
	}
	return k, k.replace(files, now)
}

// Reload reads the folder again: another gateway may have put a key there. On an error the keys
// stay as they were.
func (k *Keys) Reload(now time.Time) error {
	files, err := readKeys(k.folder)
	if err != nil {
		return err
	}
	return k.replace(files, now)
}

// replace puts all keys in the order of their times.
func (k *Keys) replace(files []signingKey, now time.Time) error {
	keys := slices.Concat(files, k.remote)
	if len(keys) == 0 {
		return ErrNoKeys
	}
	slices.SortFunc(keys, func(a, b signingKey) int { return cmp.Or(a.from.Compare(b.from), strings.Compare(a.id, b.id)) })
	// Somebody who moved the last key away did so for a reason: signing with one whose time
	// has not come would surprise them and the receivers.
	if first := keys[0].from; first.After(now.Add(clockTolerance)) {
		return fmt.Errorf("read signing keys in %s: the first one signs from %s only; restore the one before it, let the first one begin in the past if there was none, or check this machine's clock",
			k.places(), first.Format(time.RFC3339))
	}
	k.current.Store(&keys)
	return nil
}

// places says where the keys are that were to be read.
func (k *Keys) places() string {
	if len(k.remote) > 0 {
		return k.folder + " and in KMS"
	}
	return k.folder
}

// Add makes a key that signs from a time on, and publishes it at once.
func (k *Keys) Add(from, now time.Time) (KeyInfo, error) {
	// A key's name is its second.
	from = from.UTC().Truncate(time.Second)
	err := k.makeKey(from)
	for ; errors.Is(err, fs.ErrExist); err = k.makeKey(from) {
		from = from.Add(time.Second)
	}
	if err != nil {
		return KeyInfo{}, fmt.Errorf("make a signing key in %s: %w", k.folder, err)
	}
	return k.added(from, now)
}

// added reads the folder and finds the key that signs from a time on.
func (k *Keys) added(from, now time.Time) (KeyInfo, error) {
	if err := k.Reload(now); err != nil {
		return KeyInfo{}, err
	}
	for _, key := range k.List(now) {
		if key.From.Equal(from) {
			return key, nil
		}
	}
	return KeyInfo{}, errors.New("the new signing key is not among those that were read")
}

// A KeyState is where a key is in its life.
type KeyState string

// The states of a key, in their order.
const (
	Ahead    KeyState = "published" // its time has not come
	Signs    KeyState = "signs"
	Verifies KeyState = "verifies" // it signs no more, but what it signed may be about
	Over     KeyState = "over"     // it is not published any more
)

// KeyInfo is what may be told of a key.
type KeyInfo struct {
	ID    string // "" for a remote key that was over when its turn to be read came
	From  time.Time
	State KeyState
	Place string    // a file's path, or the remote key's name
	Until time.Time // published until then; zero while no successor is known
}

// List tells of all keys, the oldest first.
func (k *Keys) List(now time.Time) []KeyInfo {
	keys := *k.current.Load()
	signing := signingAt(keys, now)
	var all []KeyInfo
	for n, key := range keys {
		info := KeyInfo{ID: key.id, From: key.from, Place: key.place, State: Verifies, Until: publishedUntil(keys, n)}
		switch {
		case n == signing:
			info.State = Signs
		case n > signing:
			info.State = Ahead
		case !info.Until.After(now):
			info.State = Over
		}
		all = append(all, info)
	}
	return all
}

// readFiles reads the keys in the folder, and makes the first one unless it may not.
func (k *Keys) readFiles(now time.Time, look bool) ([]signingKey, error) {
	if !look {
		if err := os.MkdirAll(k.folder, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder of the signing keys: %w", err)
		}
	}
	keys, err := readKeys(k.folder)
	if err != nil || len(keys) > 0 || look {
		return keys, err
	}
	if err := k.makeKey(now); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make a signing key in %s: %w", k.folder, err)
	}
	return readKeys(k.folder)
}

func readKeys(folder string) ([]signingKey, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	var keys []signingKey
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), keyPrefix) || !strings.HasSuffix(entry.Name(), keySuffix) {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		key, err := readKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another gateway has just removed it
		}
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
	return newSigningKey(from, path, &private.PublicKey, func(_ context.Context, digest []byte) ([]byte, error) {
		signature, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return signature, nil
	})
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

func newSigningKey(from time.Time, place string, public *rsa.PublicKey, sign func(context.Context, []byte) ([]byte, error)) (signingKey, error) {
	jwk := jose.JSONWebKey{Key: public, Algorithm: string(jose.RS256), Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return signingKey{}, fmt.Errorf("name the key: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	encoded, err := jwk.MarshalJSON()
	if err != nil {
		return signingKey{}, fmt.Errorf("publish the key: %w", err)
	}
	return signingKey{id: jwk.KeyID, from: from, place: place, public: encoded, sign: sign}, nil
}

func generateKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, keyBits) }

func (k *Keys) path(from time.Time) string {
	return filepath.Join(k.folder, keyPrefix+from.UTC().Format(keyTime)+keySuffix)
}

// makeKey writes the file whole before it gets its name, so that no half key is ever read. Where
// there is a key of this name it stays, and the error is fs.ErrExist: another gateway was faster.
func (k *Keys) makeKey(from time.Time) error {
	private, err := k.generate()
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(k.folder, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // an error once it is renamed, which is what is wanted
	err = pem.Encode(file, &pem.Block{Type: keyBlockType, Bytes: encoded})
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := giveName(file.Name(), k.path(from)); err != nil {
		return err
	}
	opened, err := os.Open(k.folder)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

// giveName takes nobody's place, unless the file system knows no second name for a file.
func giveName(file, name string) error {
	err := os.Link(file, name)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		return os.Rename(file, name)
	}
	return err
}

// signing is the newest key whose time has come. Open made sure that there is one.
func (k *Keys) signing(now time.Time) signingKey {
	keys := *k.current.Load()
	return keys[signingAt(keys, now)]
}

func signingAt(keys []signingKey, now time.Time) int {
	at := 0
	for n := 1; n < len(keys) && !keys[n].from.After(now); n++ {
		at = n
	}
	return at
}

// publishedUntil is when nothing that a key signed is valid any more: some time after its successor
// took over. It is zero where there is none.
func publishedUntil(keys []signingKey, n int) time.Time {
	if n+1 == len(keys) {
		return time.Time{}
	}
	return keys[n+1].from.Add(keepPublished)
}

// published is the key set as receivers fetch it.
func (k *Keys) published(now time.Time) []byte {
	var set [][]byte
	keys := *k.current.Load()
	for n, key := range keys {
		until := publishedUntil(keys, n)
		if key.public != nil && (until.IsZero() || until.After(now)) {
			set = append(set, key.public)
		}
	}
	return slices.Concat([]byte(`{"keys":[`), bytes.Join(set, []byte(",")), []byte("]}"))
}
