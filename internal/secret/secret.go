// Package secret has one type: text that must not be printed.
//
// Tokens, passwords and keys travel through the product as [Text]. Every ordinary way
// of printing it, from fmt verbs to JSON and slog, gives a mask that keeps only a known
// prefix, so that a log line says what kind of secret was there and no more. The one way
// to the value is [Text.Reveal], which is easy to find in a review.
//
// It does not protect memory: a core dump still holds the value.
package secret

import (
	"crypto/subtle"
	"log/slog"
	"strings"
)

// Text is a secret string. The zero value is empty.
type Text struct{ value string }

// New wraps a secret.
func New(value string) Text { return Text{value} }

// Reveal gives the secret itself, to be sent or hashed.
func (t Text) Reveal() string { return t.value }

// IsZero reports whether there is no secret.
func (t Text) IsZero() bool { return t.value == "" }

// Equal compares in constant time.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.value), []byte(other.value)) == 1
}

// String gives the mask: "sg_at_****" for a token of ours, "****" for anything else, ""
// for no secret.
func (t Text) String() string {
	if t.value == "" {
		return ""
	}
	if strings.HasPrefix(t.value, "sg_") {
		if end := strings.IndexByte(t.value[len("sg_"):], '_'); end > 0 && end <= 3 {
			return t.value[:len("sg_")+end+1] + "****"
		}
	}
	return "****"
}

// GoString keeps the value out of %#v.
func (t Text) GoString() string { return "secret.Text(" + t.String() + ")" }

// LogValue keeps the value out of structured logs.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText keeps the value out of JSON, YAML and XML.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes a secret from a configuration file or a message.
func (t *Text) UnmarshalText(text []byte) error {
	t.value = string(text)
	return nil
}
