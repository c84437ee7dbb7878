package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
)

// An Envelope seals each value by a data key of its own, and that key by a wrapper: the key in
// a file, or one in a key service that never leaves it. Changing the wrapper's key touches the
// data keys only.
//
//	2 ‖ length ‖ wrapped data key ‖ nonce ‖ AES-256-GCM(value), bound to its place
type Envelope struct{ Wrapper Wrapper }

// A Wrapper keeps data keys. Both of its methods bind the key to a place.
type Wrapper interface {
	// Wrap tells which version of its key it used.
	Wrap(ctx context.Context, dataKey []byte, place Place) (wrapped []byte, version uint32, err error)
	// Unwrap returns ErrOpen for what it did not wrap for this place; any other error means
	// that it cannot tell now.
	Unwrap(ctx context.Context, wrapped []byte, place Place) (dataKey []byte, err error)
	// Newest is the version that wraps.
	Newest() uint32
}

// Wrap makes a Ring the Wrapper whose key is in a file or the environment.
func (r *Ring) Wrap(_ context.Context, dataKey []byte, place Place) ([]byte, uint32, error) {
	place.Purpose += " data key"
	sealed, err := r.Seal(dataKey, place)
	if err != nil {
		return nil, 0, err
	}
	return sealed, binary.BigEndian.Uint32(sealed[1:5]), nil
}

// Unwrap opens what Wrap made.
func (r *Ring) Unwrap(_ context.Context, wrapped []byte, place Place) ([]byte, error) {
	place.Purpose += " data key"
	return r.Open(wrapped, place)
}

const (
	enveloped  = 2
	maxWrapped = 1 << 13 // AWS KMS makes less than 6144 bytes
)

// Seal encrypts plain for one place, and tells the version of the wrapper's key.
func (e Envelope) Seal(ctx context.Context, plain []byte, place Place) (sealed []byte, version uint32, err error) {
	dataKey := make([]byte, KeySize)
	rand.Read(dataKey) // never fails since Go 1.24
	head, version, err := e.head(ctx, dataKey, place)
	if err != nil {
		return nil, 0, err
	}
	aead, err := dataAEAD(dataKey)
	if err != nil {
		return nil, 0, err
	}
	return aead.Seal(head, nil, plain, envelopePlace(place)), version, nil
}

// head is what stands in front of the value.
func (e Envelope) head(ctx context.Context, dataKey []byte, place Place) ([]byte, uint32, error) {
	wrapped, version, err := e.Wrapper.Wrap(ctx, dataKey, place)
	if err != nil {
		return nil, 0, fmt.Errorf("wrap data key of %s: %w", place.Purpose, err)
	}
	if len(wrapped) == 0 || len(wrapped) > maxWrapped {
		return nil, 0, fmt.Errorf("wrap data key of %s: it became %d bytes", place.Purpose, len(wrapped))
	}
	head := binary.BigEndian.AppendUint16([]byte{enveloped}, uint16(len(wrapped)))
	return append(head, wrapped...), version, nil
}

// Open decrypts a value sealed for the same place, or returns ErrOpen. Any other error means
// that the wrapper cannot tell now.
func (e Envelope) Open(ctx context.Context, sealed []byte, place Place) ([]byte, error) {
	dataKey, rest, err := e.unwrap(ctx, sealed, place)
	if err != nil {
		return nil, err
	}
	aead, err := dataAEAD(dataKey)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, rest, envelopePlace(place))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// Rewrap wraps the data key of a sealed value by the newest key. The value itself stays sealed.
func (e Envelope) Rewrap(ctx context.Context, sealed []byte, place Place) (again []byte, version uint32, err error) {
	dataKey, rest, err := e.unwrap(ctx, sealed, place)
	if err != nil {
		return nil, 0, err
	}
	head, version, err := e.head(ctx, dataKey, place)
	if err != nil {
		return nil, 0, err
	}
	return append(head, rest...), version, nil
}

func (e Envelope) unwrap(ctx context.Context, sealed []byte, place Place) (dataKey, rest []byte, err error) {
	if len(sealed) < 3 || sealed[0] != enveloped {
		return nil, nil, ErrOpen
	}
	length, rest := int(binary.BigEndian.Uint16(sealed[1:3])), sealed[3:]
	if length > len(rest) {
		return nil, nil, ErrOpen
	}
	dataKey, err = e.Wrapper.Unwrap(ctx, rest[:length], place)
	if err != nil {
		return nil, nil, fmt.Errorf("unwrap data key of %s: %w", place.Purpose, err)
	}
	if len(dataKey) != KeySize {
		return nil, nil, ErrOpen
	}
	return dataKey, rest[length:], nil
}

func envelopePlace(place Place) []byte { return append([]byte{enveloped}, place.additional()...) }

func dataAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
