package dataapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// An operation is one call of the Data API.
type operation string

const (
	executeStatement     operation = "ExecuteStatement"
	describeStatement    operation = "DescribeStatement"
	cancelStatement      operation = "CancelStatement"
	getStatementResult   operation = "GetStatementResult"
	getStatementResultV2 operation = "GetStatementResultV2"
)

const (
	signingName = "redshift-data"
	// longestWait is the most that WaitTimeSeconds may be.
	longestWait = 30 * time.Second
	// answerLimit is above a page of 16 MB even when JSON escapes double it.
	answerLimit = 48 << 20
	// submitTimeout is how long the answer to ExecuteStatement is waited for once the caller
	// has gone away.
	submitTimeout = 15 * time.Second
	// exchangeTimeout leaves a page a minute and a half to arrive, after the longest wait.
	exchangeTimeout = 2 * time.Minute
	firstPause      = 100 * time.Millisecond
	longestPause    = 3 * time.Second
)

// call makes a call, and makes it again where that may help. Every operation used here can be
// repeated: ExecuteStatement because its ClientToken stays the same. The answer is read into
// buffer where it fits.
func (s *Session) call(ctx context.Context, op operation, request any, buffer []byte) ([]byte, error) {
	payload, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", op, err)
	}
	var paused time.Duration
	renewed := false
	for attempt := 1; ; attempt++ {
		credentials, err := s.config.Credentials.Credentials(ctx)
		if err != nil {
			return nil, fmt.Errorf("get credentials for %s: %w", op, err)
		}
		if err := s.config.Quota.wait(ctx, op, s.patience(op)-paused); err != nil {
			return nil, fmt.Errorf("wait for a call of %s: %w", op, err)
		}
		answer, err := s.exchange(ctx, op, payload, credentials, buffer)
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("call %s: %w", op, context.Cause(ctx))
		}
		fault, _ := errors.AsType[*ServiceError](err)
		if fault != nil && fault.quota() {
			s.config.Quota.refused(op)
		}
		switch {
		case fault.refusesAccess() && s.mayRenew(fault, credentials, renewed) && s.forget(credentials):
			renewed = true
			continue
		case fault.refusesAccess():
			return nil, &redshift.AccessError{Step: "call " + string(op), Code: fault.Code, Err: fault.withRemedy()}
		case fault != nil && !fault.passing():
			return nil, fault.withRemedy()
		case fault == nil && lasting(err):
			return nil, fmt.Errorf("call %s: %w", op, err)
		}
		wait := backoff(attempt)
		if paused += wait; paused > s.patience(op) {
			return nil, giveUp(op, attempt, err, wait)
		}
		s.config.Logger.DebugContext(ctx, "data API call is repeated", "operation", op, "attempt", attempt, "pause", wait, "error", err)
		if s.pause(ctx, wait) != nil {
			return nil, fmt.Errorf("call %s: %w", op, context.Cause(ctx))
		}
	}
}

// lasting reports whether a failure without an answer of AWS will be the same next time. All
// others are failures of the network.
func lasting(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return untrusted || errors.Is(err, errAnswerTooLarge)
}

// mayRenew reports whether other credentials may do where these were refused. Once: those that were
// fetched anew have no excuse. Access may be denied to credentials for their age alone, because that is
// how AWS ends the sessions of a role; so it is tried with new ones, and if they are denied too then not
// again in their life, however often somebody asks.
func (s *Session) mayRenew(fault *ServiceError, refused identity.Credentials, renewed bool) bool {
	if !fault.deniesAccess() {
		return !renewed
	}
	if renewed {
		s.denied.Store(&refused.AccessKeyID)
	}
	denied := s.denied.Load()
	return !renewed && (denied == nil || *denied != refused.AccessKeyID)
}

// forget drops credentials that AWS refused; it is false where the provider has no others.
func (s *Session) forget(refused identity.Credentials) bool {
	provider, ok := s.config.Credentials.(identity.Invalidator)
	if ok {
		provider.Invalidate(refused)
	}
	return ok
}

// patience is how long a call's pauses may be in sum. A statement that AWS has taken is worth
// more of it than one that the caller can start again.
func (s *Session) patience(op operation) time.Duration {
	if op == executeStatement {
		return s.config.RetryBudget
	}
	return 3 * s.config.RetryBudget
}

// backoff doubles with each attempt. Half of it is chance, so that callers that met a quota
// together do not come back together.
func backoff(attempt int) time.Duration {
	full := min(firstPause<<min(attempt-1, 10), longestPause)
	return full/2 + rand.N(full/2)
}

// giveUp is the error after the last attempt.
func giveUp(op operation, attempts int, err error, wait time.Duration) error {
	if fault, ok := errors.AsType[*ServiceError](err); ok && fault.quota() {
		return &redshift.BusyError{Limit: fault.limit(), RetryAfter: max(wait, time.Second)}
	}
	if fault, ok := errors.AsType[*ServiceError](err); ok {
		err = fault.withRemedy()
	}
	return fmt.Errorf("call %s, %d times: %w", op, attempts, err)
}

// exchange is one signed request and its answer.
func (s *Session) exchange(ctx context.Context, op operation, payload []byte, credentials identity.Credentials, buffer []byte) ([]byte, error) {
	if op == executeStatement {
		// When the caller goes away AWS may have taken the statement. Its id is needed then to
		// cancel it, so the answer is still heard.
		detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ctx, func() { time.AfterFunc(submitTimeout, cancel) })()
		ctx = detached
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	request, err := s.request(ctx, op, payload, credentials)
	if err != nil {
		return nil, err
	}
	response, err := s.config.HTTPClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := readAnswer(buffer, response.Body, response.ContentLength)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", op, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, newServiceError(op, response, answer)
	}
	return answer, nil
}

func (s *Session) request(ctx context.Context, op operation, payload []byte, credentials identity.Credentials) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("build the request %s: %w", op, err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "RedshiftData."+string(op))
	request.Header.Set("User-Agent", "shiftgrant")
	if err := credentials.Sign(ctx, s.signer, request, payload, signingName, s.config.Region, s.config.Now()); err != nil {
		return nil, fmt.Errorf("sign the request %s: %w", op, err)
	}
	return request, nil
}

var errAnswerTooLarge = fmt.Errorf("it is larger than %d MB", answerLimit>>20)

// readAnswer reads into buffer, which grows to what the answer announces, or by doubling.
func readAnswer(buffer []byte, from io.Reader, announced int64) ([]byte, error) {
	if announced > answerLimit {
		return nil, errAnswerTooLarge
	}
	const atLeast = 4 << 10
	if want := int(max(announced+1, atLeast)); cap(buffer) < want { // one more, to see the end
		buffer = make([]byte, 0, want)
	}
	buffer = buffer[:0]
	for {
		n, err := from.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case err == io.EOF:
			return buffer, nil
		case err != nil:
			return nil, err
		case len(buffer) > answerLimit:
			return nil, errAnswerTooLarge
		case len(buffer) == cap(buffer):
			grown := make([]byte, len(buffer), 2*cap(buffer))
			copy(grown, buffer)
			buffer = grown
		}
	}
}
