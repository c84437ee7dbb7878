package connect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// A key set is read again for each ID token whose key it does not have, so that a new key is known
// at once. Tokens with made-up keys must not turn that into a flood: the issuer is asked twice in ten
// seconds at most, and in between the last answer stands.
const (
	keyAnswers = 2
	keyPeriod  = 10 * time.Second
)

type rationed struct {
	next http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex
	asked []time.Time // within the period
	body  []byte      // the last good answer
}

var errRationed = errors.New("the issuer's keys were asked for just now, and could not be read")

// RoundTrip implements http.RoundTripper for one URL.
func (a *rationed) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for len(a.asked) > 0 && now.Sub(a.asked[0]) >= keyPeriod {
		a.asked = a.asked[1:]
	}
	if len(a.asked) < keyAnswers {
		a.asked = append(a.asked, now)
		response, err := a.next.RoundTrip(r)
		if err != nil || response.StatusCode != http.StatusOK {
			return response, err
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		a.body = body
	} else if a.body == nil {
		return nil, errRationed
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}
