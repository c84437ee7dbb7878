package identitycenter

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// call is where a request goes, and how it is written there.
type call struct {
	service     string // which the signature names
	url         string
	contentType string
	target      string // X-Amz-Target; "" for none
}

// A refusal is AWS's no. It has a reason where Identity Center said it in OAuth's words.
type refusal struct {
	status        int
	code, message string
	reason        string
}

func (r *refusal) name() string {
	if r.reason != "" {
		return r.reason
	}
	return r.code
}

func (r *refusal) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("AWS answered %s (HTTP %d): %s", r.name(), r.status, r.message), ": ")
}

// call signs with the gateway's own keys. Keys that AWS refuses are fetched anew, once.
func (a *Adapter) call(ctx context.Context, c call, question, into any) error {
	keys, err := a.config.Credentials.Credentials(ctx)
	if err != nil {
		return fmt.Errorf("get the gateway's own AWS keys: %w", err)
	}
	err = a.callWith(ctx, keys, c, question, into)
	var refused *refusal
	forgetting, ok := a.config.Credentials.(identity.Invalidator)
	if !ok || !errors.As(err, &refused) || refused.reason != "" || refused.code != "ExpiredTokenException" && refused.code != "UnrecognizedClientException" {
		return err
	}
	forgetting.Invalidate(keys)
	if keys, err = a.config.Credentials.Credentials(ctx); err != nil {
		return fmt.Errorf("get the gateway's own AWS keys: %w", err)
	}
	return a.callWith(ctx, keys, c, question, into)
}

func (a *Adapter) callWith(ctx context.Context, keys identity.Credentials, c call, question, into any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the endpoint is not a URL")
	}
	request.Header.Set("Content-Type", c.contentType)
	if c.target != "" {
		request.Header.Set("X-Amz-Target", c.target)
	}
	if err := keys.Sign(ctx, a.signer, request, body, c.service, a.config.Region, a.config.Now()); err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	response, err := a.config.HTTPClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return readRefusal(response, received)
	}
	if json.Unmarshal(received, into) != nil {
		return errors.New("the answer is not what was asked for: is the endpoint right?")
	}
	return nil
}

func readRefusal(response *http.Response, body []byte) *refusal {
	var document struct {
		Type        string `json:"__type"`
		Message     string `json:"message"`
		Reason      string `json:"error"`
		Description string `json:"error_description"`
	}
	refused := &refusal{status: response.StatusCode}
	if json.Unmarshal(body, &document) == nil {
		refused.reason, refused.message = document.Reason, document.Message+document.Description
	}
	refused.code = cmp.Or(identity.ErrorCode(response.Header, document.Type), http.StatusText(response.StatusCode))
	return refused
}
