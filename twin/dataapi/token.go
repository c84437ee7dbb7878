package dataapi

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// sealToken makes a NextToken: a position, readable by nobody and valid for one purpose (a
// statement or a listing) and one caller.
func (h *Handler) sealToken(position int, caller Caller, purpose string) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(position))
	return base64.URLEncoding.EncodeToString(h.tokens.Seal(nil, nil, plain, []byte(caller.UserID+"\x00"+purpose)))
}

// openToken is the position that a NextToken stands for; 0 for none.
func (h *Handler) openToken(token string, caller Caller, purpose string) (int, error) {
	if token == "" {
		return 0, nil
	}
	sealed, err := base64.URLEncoding.DecodeString(token)
	if err == nil {
		var plain []byte
		if plain, err = h.tokens.Open(nil, nil, sealed, []byte(caller.UserID+"\x00"+purpose)); err == nil {
			return int(binary.BigEndian.Uint64(plain)), nil
		}
	}
	return 0, validation("NextToken is not valid for this request")
}

// newUUID is a random UUID (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
