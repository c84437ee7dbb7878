package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// answerLimit is far above every document that is read here.
const answerLimit = 1 << 20

type answer struct {
	status int
	header http.Header
	body   []byte
}

func get(ctx context.Context, client *http.Client, at string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return answer{}, errors.New("that is no URL")
	}
	return send(client, request)
}

func post(ctx context.Context, client *http.Client, at string, form url.Values) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, errors.New("that is no URL")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(client, request)
}

func send(client *http.Client, request *http.Request) (answer, error) {
	request.Header.Set("User-Agent", "shiftgrant-doctor")
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	return answer{response.StatusCode, response.Header, body}, err
}

// untrusted reports whether it is the certificate that is wrong, and not the network.
func untrusted(err error) bool {
	if _, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return true
	}
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	return authority || wrongName(err)
}

func wrongName(err error) bool {
	_, is := errors.AsType[x509.HostnameError](err)
	return is
}
