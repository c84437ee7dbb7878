package identity

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"
)

// STS, AssumeRoleWithWebIdentity, RoleSessionName: 2 to 64 of [\w+=,.@-].
const maxSessionName = 64

var sessionNames = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)

var lowerBase32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// sessionName is the name of a person's sessions. One that is given and valid is used as it
// is. Any other becomes what is readable of it and a hash that also covers the person's ID:
// two people whose names look the same after cutting must not own each other's results.
func (s Subject) sessionName() string {
	if sessionNames.MatchString(s.SessionName) {
		return s.SessionName
	}
	sum := sha256.Sum256([]byte(s.ID + "\x00" + s.SessionName))
	hash := strings.ToLower(lowerBase32.EncodeToString(sum[:16]))
	readable := s.SessionName
	for _, other := range []string{s.DatabaseUser, s.Email} {
		if readable == "" {
			readable = other
		}
	}
	readable = readablePart(readable, maxSessionName-len(hash)-1)
	if readable == "" {
		return hash
	}
	return readable + "-" + hash
}

func readablePart(text string, limit int) string {
	var out []byte
	for i := 0; i < len(text) && len(out) < limit; i++ {
		if c := text[i]; sessionNames.Match([]byte{c, c}) {
			out = append(out, c)
		}
	}
	return string(out)
}
