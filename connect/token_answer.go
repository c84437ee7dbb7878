package connect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"
)

// tokenContext is for calls of the token endpoint by golang.org/x/oauth2, which takes a member
// that comes twice, or in other letters, without a word: such an answer does not get that far.
func (c *Client) tokenContext(ctx context.Context) context.Context {
	client := *c.http
	client.Transport = strictTokens{client.Transport}
	return context.WithValue(ctx, oauth2.HTTPClient, &client)
}

// errTokenAnswer says that the issuer has answered, but not with tokens.
var errTokenAnswer = errors.New("the issuer's answer is not a token response")

type strictTokens struct{ next http.RoundTripper }

func (s strictTokens) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	if err != nil || response.StatusCode/100 != 2 {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err != nil {
		return nil, fmt.Errorf("read token answer: %w", err)
	}
	if err := checkTokenAnswer(body); err != nil {
		return nil, fmt.Errorf("%w: %w", errTokenAnswer, err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// tokenMembers are those of RFC 6749 §5.1 and OpenID Connect Core §3.1.3.3.
var tokenMembers = []string{"access_token", "token_type", "expires_in", "refresh_token", "scope", "id_token", "error"}

// checkTokenAnswer says nothing of the content of an answer, which is secret.
func checkTokenAnswer(body []byte) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return errors.New("it is not one JSON object with each member once")
	}
	for name := range members {
		if lower := strings.ToLower(name); lower != name && slices.Contains(tokenMembers, lower) {
			return fmt.Errorf("there is a member that differs from %s only in its letters' case", lower)
		}
	}
	return nil
}
