package spool

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A file is the rows of one statement, in sealed blocks. Its key is nowhere but here, so what is
// left of a file is noise.
//
// A block is sealed for its number, and for being the last one or not: that is its additional data,
// and the number is its nonce, which a key of one file may count. A block that was altered, moved
// or taken from another file does not open, and neither does a file that ends early.
type file struct {
	*os.File
	removed bool // it has no name any more
	aead    cipher.AEAD
	blocks  []block
	longest int // sealed bytes of the longest block
}

// A block is known here by where it ends and what is in it; where it begins is the end of the one
// before.
type block struct {
	end  int64
	rows int64
}

const suffix = ".rows"

// errDamaged is for a file that is not what was written.
var errDamaged = errors.New("the spooled rows are damaged")

// create makes a file that nobody else can open, and where the system lets it, one without a name:
// it is gone when the gateway is, however that ends.
func create(folder, id string) (*file, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	cipherBlock, err := aes.NewCipher(key)
	clear(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(cipherBlock)
	if err != nil {
		return nil, err
	}
	opened, err := os.OpenFile(filepath.Join(folder, id+suffix), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a spool file: %w", err)
	}
	return &file{File: opened, aead: aead, removed: os.Remove(opened.Name()) == nil}, nil
}

// drop closes the file, and removes it where that could not be done before.
func (f *file) drop() error {
	err := f.Close()
	if !f.removed {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// seal writes a block. The sealed block replaces the plain one.
func (f *file) seal(plain []byte, rows int64, last bool) error {
	number, at := len(f.blocks), f.size()
	nonce, place := placeOf(number, last)
	sealed := f.aead.Seal(plain[:0], nonce[:], plain, place[:])
	if _, err := f.WriteAt(sealed, at); err != nil {
		return fmt.Errorf("write a spool file: %w", err)
	}
	f.blocks = append(f.blocks, block{at + int64(len(sealed)), rows})
	f.longest = max(f.longest, len(sealed))
	return nil
}

// open reads a block of a file that is complete into buffer, which it makes larger where needed.
func (f *file) open(number int, buffer []byte) (plain []byte, err error) {
	begin := int64(0)
	if number > 0 {
		begin = f.blocks[number-1].end
	}
	length := int(f.blocks[number].end - begin)
	if cap(buffer) < length {
		buffer = make([]byte, length)
	}
	sealed := buffer[:length]
	if _, err := f.ReadAt(sealed, begin); err != nil {
		return nil, fmt.Errorf("%w: block %d: %w", errDamaged, number, err)
	}
	nonce, place := placeOf(number, number == len(f.blocks)-1)
	plain, err = f.aead.Open(sealed[:0], nonce[:], sealed, place[:])
	if err != nil {
		return nil, fmt.Errorf("%w: block %d does not open", errDamaged, number)
	}
	return plain, nil
}

func (f *file) size() int64 {
	if len(f.blocks) == 0 {
		return 0
	}
	return f.blocks[len(f.blocks)-1].end
}

func placeOf(number int, last bool) (nonce [12]byte, place [9]byte) {
	binary.BigEndian.PutUint64(nonce[4:], uint64(number))
	binary.BigEndian.PutUint64(place[:], uint64(number))
	if last {
		place[8] = 1
	}
	return nonce, place
}
