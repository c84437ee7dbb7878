package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// Keys are the gateway's own keys. None is ever shown.
type Keys interface {
	Keys() []Key
	// Rotate makes a new key of a kind, for use after a while where the kind knows that. It
	// returns an error that wraps ErrRefused, in words for the operator, for what cannot be done.
	Rotate(kind string, after time.Duration) (Key, error)
}

// ErrRefused is wrapped by what an operator asked for and cannot have.
var ErrRefused = errors.New("refused")

// Key names a key.
type Key struct {
	Kind  string    `json:"kind"`
	ID    string    `json:"id"`
	InUse bool      `json:"in_use"`         // it seals or signs now; the others open, or verify
	State string    `json:"state,omitzero"` // of a signing key: published, signs, verifies, over
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"` // published until then
	Place string    `json:"kept_in,omitzero"`
}

// Rotation asks for a new key.
type Rotation struct {
	Kind  string `json:"kind"`
	After string `json:"after,omitzero"` // a duration
}

func (s *server) listKeys(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, http.StatusOK, s.Keys.Keys())
}

func (s *server) rotateKey(w http.ResponseWriter, r *http.Request) {
	var asked Rotation
	err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 64<<10), &asked, json.RejectUnknownMembers(true))
	var after time.Duration
	if err == nil && asked.After != "" {
		after, err = time.ParseDuration(asked.After)
	}
	if err != nil || asked.Kind == "" || after < 0 {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusBadRequest, Title: "The request names no key", Detail: "Send one JSON object with kind, and after as a duration such as 24h."})
		return
	}
	if err := s.record(r, audit.Record{Kind: "key.rotated", Detail: asked.Kind}); err != nil {
		s.fail(w, r, err)
		return
	}
	key, err := s.Keys.Rotate(asked.Kind, after)
	if errors.Is(err, ErrRefused) {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusConflict, Title: "The key was not rotated", Detail: err.Error()})
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, r, http.StatusCreated, key)
}

// Keys lists the gateway's keys by name.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	var keys []Key
	return keys, c.call(ctx, http.MethodGet, "/keys", nil, &keys)
}

// RotateKey makes a new key of a kind.
func (c *Client) RotateKey(ctx context.Context, kind string, after time.Duration) (Key, error) {
	var key Key
	return key, c.call(ctx, http.MethodPost, "/keys", Rotation{Kind: kind, After: after.String()}, &key)
}
