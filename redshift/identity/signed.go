package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Sign signs a request with payload as its body, for a service in a region (Signature Version 4). A
// signer that is kept keeps the keys that it derived.
func (c Credentials) Sign(ctx context.Context, signer *v4.Signer, request *http.Request, payload []byte, service, region string, at time.Time) error {
	hash := sha256.Sum256(payload)
	return signer.SignHTTP(ctx, aws.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal(), SessionToken: c.SessionToken.Reveal(),
	}, request, hex.EncodeToString(hash[:]), service, region, at)
}

// answerLimit is far above what these services answer; a session token has 4,096 bytes at most.
const answerLimit = 256 << 10

// A signedService is one AWS service in one region, to which requests go that somebody's keys sign
// (Signature Version 4).
type signedService struct {
	name, region string
	client       *http.Client
	signer       *v4.Signer
	now          func() time.Time
}

// post sends a request once and gives the answer's body, whatever its status. The response is
// returned for its status and header; its body is closed.
func (s *signedService) post(ctx context.Context, address string, credentials Credentials, payload []byte, header map[string]string) ([]byte, *http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(payload))
	if err != nil {
		return nil, nil, err
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	if err := credentials.Sign(ctx, s.signer, request, payload, s.name, s.region, s.now()); err != nil {
		return nil, nil, fmt.Errorf("sign the request: %w", err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	return body, response, nil
}
