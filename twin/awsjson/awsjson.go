// Package awsjson speaks AWS's JSON 1.1 protocol for services of the twin: one POST to the root,
// the operation in X-Amz-Target, the error's type in a header and in the body.
//
// It is strict where AWS is not: members of a request that the operation does not know are refused,
// because in a test a misspelt member that is silently ignored is worse than an error.
package awsjson

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const (
	contentType = "application/x-amz-json-1.1"
	maxBody     = 256 << 10
)

// An Operation answers one call with what is to be encoded.
type Operation func(ctx context.Context, caller sigv4.Credential, body []byte) (any, error)

// A Service is an http.Handler for the operations of one service.
type Service struct {
	Target     string // the prefix of X-Amz-Target, with its dot
	Verifier   sigv4.Verifier
	Operations map[string]Operation
	Script     *script.Script
}

// Names are those of the operations.
func (s *Service) Names() []string { return slices.Sorted(maps.Keys(s.Operations)) }

// An Error is a refusal with AWS's type. Members are those that the type has besides a message.
type Error struct {
	Status  int
	Code    string
	Message string
	Members map[string]any
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refuse is an Error with status 400, which all but a few have.
func Refuse(code, format string, arguments ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(format, arguments...)}
}

// Epoch is a time as the protocol writes it: seconds since 1970.
type Epoch time.Time

// MarshalJSON implements json.Marshaler.
func (e Epoch) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", float64(time.Time(e).UnixMilli())/1000), nil
}

// Texts is a string or an array of strings, which policies allow alike.
type Texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = Texts{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// Bind makes an operation of a function with a typed request.
func Bind[Request any](run func(context.Context, sigv4.Credential, Request) (any, error)) Operation {
	return func(ctx context.Context, caller sigv4.Credential, body []byte) (any, error) {
		var request Request
		if refused := Decode(body, &request); refused != nil {
			return nil, refused
		}
		return run(ctx, caller, request)
	}
}

// Decode reads a request strictly.
func Decode(body []byte, into any) *Error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return Refuse("SerializationException", "the body is not a request of this operation: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Refuse("SerializationException", "there is something behind the request")
	}
	return nil
}

// ServeHTTP answers one call.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-RequestId", rand.Text())
	w.Header().Set("Content-Type", contentType)
	answer, err := s.serve(w, r)
	if err != nil {
		WriteError(w, err)
		return
	}
	if answer == nil {
		answer = struct{}{}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), s.Target)
	run, known := s.Operations[name]
	if !known {
		return nil, Refuse("UnknownOperationException", "the twin knows %s", strings.Join(s.Names(), ", "))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLargeException", Message: "the body is too large"}
	}
	if s.Script != nil {
		if refusal, refused := s.Script.Next(name); refused {
			return nil, &Error{Status: refusal.Status, Code: refusal.Code, Message: refusal.Message}
		}
	}
	caller, err := s.Verifier.Verify(r, body)
	if err != nil {
		return nil, err
	}
	return run(r.Context(), caller, body)
}

// WriteError writes a refusal of ours or of a signature; anything else is a fault of the twin's.
func WriteError(w http.ResponseWriter, err error) {
	refused, ours := errors.AsType[*Error](err)
	if signature, ok := errors.AsType[*sigv4.Error](err); ok && !ours {
		refused = &Error{Status: signature.Status, Code: signature.Code, Message: signature.Message}
	}
	if refused == nil {
		refused = &Error{Status: http.StatusInternalServerError, Code: "InternalServerException", Message: "the twin failed: " + err.Error()}
	}
	body := map[string]any{"__type": refused.Code, "message": refused.Message}
	maps.Copy(body, refused.Members)
	w.Header().Set("X-Amzn-ErrorType", refused.Code)
	w.WriteHeader(refused.Status)
	_ = json.NewEncoder(w).Encode(body)
}
