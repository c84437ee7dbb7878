package grant

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math/big"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// A Kind is what a token is for. It is the prefix by which people and secret scanners
// recognise one.
type Kind string

// The kinds of token.
const (
	AccessToken  Kind = "sg_at_"
	RefreshToken Kind = "sg_rt_"
	ClientSecret Kind = "sg_cs_"
	AuthCode     Kind = "sg_ac_"
	DeviceCode   Kind = "sg_dc_"
)

// ErrMalformed says that a text is no token of the wanted kind: wrong prefix, length,
// character or checksum. It is found without any look-up, so junk costs nothing.
var ErrMalformed = errors.New("not a token of this kind")

const (
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomDigits = 43 // 62^43 > 2^256
	checkDigits  = 6  // 62^6 > 2^32
	tokenLength  = len(AccessToken) + randomDigits + checkDigits
)

// A Hash is what is stored of a token: SHA-256, of an input with 256 random bits.
type Hash [sha256.Size]byte

// String is hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// NewToken makes a token from 256 bits of crypto/rand.
func NewToken(kind Kind) secret.Text {
	var entropy [32]byte
	rand.Read(entropy[:]) // never fails since Go 1.24
	return tokenFrom(kind, entropy[:])
}

// tokenFrom spells 32 bytes as a token: prefix, 43 base62 digits, 6 of CRC-32 over both.
func tokenFrom(kind Kind, entropy []byte) secret.Text {
	b := make([]byte, 0, tokenLength)
	b = append(b, kind...)
	b = appendBase62(b, new(big.Int).SetBytes(entropy), randomDigits)
	b = appendBase62(b, big.NewInt(int64(crc32.ChecksumIEEE(b))), checkDigits)
	return secret.New(string(b))
}

// appendBase62 writes n with exactly digits digits, the most significant first.
func appendBase62(b []byte, n *big.Int, digits int) []byte {
	start := len(b)
	b = append(b, make([]byte, digits)...)
	radix, digit := big.NewInt(int64(len(base62))), new(big.Int)
	for i := start + digits - 1; i >= start; i-- {
		n.DivMod(n, radix, digit)
		b[i] = base62[digit.Int64()]
	}
	return b
}

// ParseToken checks prefix, length, alphabet and checksum of a presented token and gives the
// hash to look it up by, or ErrMalformed.
func ParseToken(kind Kind, presented string) (Hash, error) {
	if len(presented) != tokenLength || presented[:len(kind)] != string(kind) {
		return Hash{}, ErrMalformed
	}
	body := presented[:tokenLength-checkDigits]
	for i := len(kind); i < len(presented); i++ {
		c := presented[i]
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return Hash{}, ErrMalformed
		}
	}
	check := crc32.ChecksumIEEE([]byte(body))
	for i := tokenLength - 1; i >= len(body); i-- {
		if presented[i] != base62[check%uint32(len(base62))] {
			return Hash{}, ErrMalformed
		}
		check /= uint32(len(base62))
	}
	return HashToken(presented), nil
}

// HashToken is the stored form of a token.
func HashToken(token string) Hash { return sha256.Sum256([]byte(token)) }

// NewID makes an identifier that is unique but not secret: prefix, "_", 22 base62 digits. They
// begin with the time, as a UUID of version 7 does, so that what is made together lies together
// in an index; 80 bits are random.
func NewID(prefix string) string {
	var id [16]byte
	rand.Read(id[6:])
	milliseconds := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint16(id[:2], uint16(milliseconds>>32))
	binary.BigEndian.PutUint32(id[2:6], uint32(milliseconds))
	b := append(make([]byte, 0, len(prefix)+23), prefix...)
	return string(appendBase62(append(b, '_'), new(big.Int).SetBytes(id[:]), 22))
}
