package connect

import (
	"fmt"

	"github.com/shiftgrant/shiftgrant/internal/seal"
)

// keyRing seals by the key of the configuration, and opens by that and those before it.
type keyRing struct {
	*seal.Ring
	previous []*seal.Ring
}

func newKeyRing(key []byte, previous [][]byte) (keyRing, error) {
	var rings []*seal.Ring
	for _, bytes := range append([][]byte{key}, previous...) {
		ring, err := seal.NewRing(seal.Key{Version: 1, Bytes: bytes})
		if err != nil {
			return keyRing{}, fmt.Errorf("connect: Key and PreviousKeys must be %d random bytes each", seal.KeySize)
		}
		rings = append(rings, ring)
	}
	return keyRing{rings[0], rings[1:]}, nil
}

// Open opens what any of the keys sealed.
func (k keyRing) Open(sealed []byte, place seal.Place) ([]byte, error) {
	plain, err := k.Ring.Open(sealed, place)
	for _, ring := range k.previous {
		if err == nil {
			break
		}
		plain, err = ring.Open(sealed, place)
	}
	return plain, err
}

// OpenText is Open of what SealText made.
func (k keyRing) OpenText(text string, place seal.Place) ([]byte, error) {
	plain, err := k.Ring.OpenText(text, place)
	for _, ring := range k.previous {
		if err == nil {
			break
		}
		plain, err = ring.OpenText(text, place)
	}
	return plain, err
}
