// Package seal encrypts what the gateway must keep, or hand to a browser, but must not be
// able to leak: upstream tokens, browser sessions, consent forms.
//
// A value is sealed for one place. Its additional data names the tenant, the owner and the
// purpose, so a value copied to another place does not open there. Keys have a version that
// travels with the value: a new key can be put in front while old values still open.
// Losing the key loses the values, on purpose; docs/operations.md says how to keep it.
//
// AES-256-GCM with a random 96-bit nonce: one key is good for 2^32 values, which at a
// thousand values a second is 49 days. Sealing therefore derives a subkey per purpose and
// value: HKDF-SHA-256 with a random 128-bit salt, so that the limit is out of reach.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// ErrOpen is returned for a value that does not open: altered, sealed for another place, or
// sealed by a key that is not in the ring. It says no more, so that it helps nobody probe.
var ErrOpen = errors.New("sealed value does not open here")

const (
	// KeySize is the length of a key in bytes.
	KeySize  = 32
	format   = 1
	saltSize = 16
)

// Ring holds the keys: the newest seals, all open. It is safe for concurrent use, and its keys
// can be replaced while it is used.
type Ring struct {
	current atomic.Pointer[keySet]
	reload  reload
}

// A keySet is never changed.
type keySet struct {
	newest uint32
	keys   map[uint32][]byte
}

// Key is one version of the sealing key. Versions count up from 1.
type Key struct {
	Version uint32
	Bytes   []byte
}

// NewRing builds a ring; the key with the highest version seals.
func NewRing(keys ...Key) (*Ring, error) {
	r := &Ring{}
	return r, r.Replace(keys...)
}

// Replace puts other keys in the place of those that there are. What only a key that is gone
// can open does not open any more.
func (r *Ring) Replace(keys ...Key) error {
	set, err := newKeySet(keys)
	if err == nil {
		r.current.Store(set)
	}
	return err
}

// Newest is the version that seals.
func (r *Ring) Newest() uint32 { return r.current.Load().newest }

// Versions lists all versions, the oldest first.
func (r *Ring) Versions() []uint32 {
	return slices.Sorted(maps.Keys(r.current.Load().keys))
}

func newKeySet(keys []Key) (*keySet, error) {
	if len(keys) == 0 {
		return nil, errors.New("build key ring: no key given")
	}
	ring := &keySet{keys: make(map[uint32][]byte, len(keys))}
	for _, key := range keys {
		if len(key.Bytes) != KeySize {
			return nil, fmt.Errorf("build key ring: key version %d has %d bytes, want %d", key.Version, len(key.Bytes), KeySize)
		}
		if key.Version == 0 {
			return nil, errors.New("build key ring: key versions start at 1")
		}
		if _, twice := ring.keys[key.Version]; twice {
			return nil, fmt.Errorf("build key ring: key version %d given twice", key.Version)
		}
		ring.keys[key.Version] = key.Bytes
		ring.newest = max(ring.newest, key.Version)
	}
	return ring, nil
}

// Place says where a sealed value belongs. All fields are bound into the value and none of
// them is stored with it.
type Place struct {
	Tenant  string // the tenant's name
	Owner   string // the person, session or app the value is about
	Purpose string // what it is, such as "upstream-token"
	// Generation tells successive values of one place apart, so that none passes for a later
	// one; 0 where there is only one.
	Generation int64
}

// additional encodes a place so that no two places have the same bytes.
func (p Place) additional() []byte {
	var b []byte
	for _, part := range []string{p.Tenant, p.Owner, p.Purpose} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	if p.Generation != 0 {
		b = binary.AppendVarint(b, p.Generation)
	}
	return b
}

// Seal encrypts plain for one place.
func (r *Ring) Seal(plain []byte, place Place) ([]byte, error) {
	set := r.current.Load()
	header := make([]byte, 0, 5+saltSize+len(plain)+64)
	header = append(header, format)
	header = binary.BigEndian.AppendUint32(header, set.newest)
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails since Go 1.24
	header = append(header, salt...)

	aead, err := derive(set.keys[set.newest], salt, place.Purpose)
	if err != nil {
		return nil, fmt.Errorf("seal for %s: %w", place.Purpose, err)
	}
	// The subkey is used once, so GCM's random nonce (in front of the ciphertext) cannot repeat.
	return aead.Seal(header, nil, plain, append(header[:5:5], place.additional()...)), nil
}

// Open decrypts a value sealed for the same place, or returns ErrOpen.
func (r *Ring) Open(sealed []byte, place Place) ([]byte, error) {
	if len(sealed) < 5+saltSize || sealed[0] != format {
		return nil, ErrOpen
	}
	key := r.key(binary.BigEndian.Uint32(sealed[1:5]))
	if key == nil {
		return nil, ErrOpen
	}
	aead, err := derive(key, sealed[5:5+saltSize], place.Purpose)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", place.Purpose, err)
	}
	plain, err := aead.Open(nil, nil, sealed[5+saltSize:], append(sealed[:5:5], place.additional()...))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// SealText is Seal in unpadded base64url, for cookies and form fields.
func (r *Ring) SealText(plain []byte, place Place) (string, error) {
	sealed, err := r.Seal(plain, place)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// OpenText opens what SealText made, or returns ErrOpen. It takes only the one canonical
// spelling of a value: line breaks and stray bits are refused.
func (r *Ring) OpenText(text string, place Place) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, ErrOpen
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, ErrOpen
	}
	return r.Open(sealed, place)
}

func derive(key, salt []byte, purpose string) (cipher.AEAD, error) {
	sub, err := hkdf.Key(sha256.New, key, salt, "shiftgrant seal "+purpose, KeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sub)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
