package dataapi

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/redshift"
)

const (
	// cancelTimeout bounds telling AWS that nobody waits for a statement any more.
	cancelTimeout = 10 * time.Second
	// maxStatementName is what older models of the API allow; newer ones allow 2048.
	maxStatementName = 500
	maxClientToken   = 64
)

// Query runs a statement and gives its rows.
func (s *Session) Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	request, err := s.prepare(statement)
	if err != nil {
		return nil, err
	}
	ctx, finish := s.follow(ctx)
	answer, err := s.start(ctx, request, true)
	if err != nil {
		finish()
		return nil, err
	}
	if s.config.Started != nil {
		defer s.config.Started(answer.ID)()
	}
	rows, err := s.result(ctx, answer.ID, expectation(answer, statement.SQL), time.Time{})
	if err != nil {
		if !settled(err) {
			s.abandon(ctx, answer.ID)
		}
		finish()
		return nil, afterExecution(err)
	}
	rows.finish = finish
	return rows, nil
}

// settled reports whether an error says that the statement has ended.
func settled(err error) bool {
	failure, _ := errors.AsType[*redshift.Error](err)
	return failure != nil || errors.Is(err, redshift.ErrCanceled) || errors.Is(err, redshift.ErrNotFound)
}

// afterExecution hides that an error is a BusyError, which promises that nothing was executed.
func afterExecution(err error) error {
	if busy, ok := errors.AsType[*redshift.BusyError](err); ok {
		return fmt.Errorf("the statement was started, but its result could not be fetched: %v", busy)
	}
	return err
}

// Submit starts a statement. When ctx ends before AWS has answered, a statement without an
// IdempotencyKey is cancelled, because nobody has its id; one with a key is left to whoever
// submits it again.
func (s *Session) Submit(ctx context.Context, statement redshift.Statement) (string, error) {
	leave, err := s.enter()
	if err != nil {
		return "", err
	}
	defer leave()
	request, err := s.prepare(statement)
	if err != nil {
		return "", err
	}
	ctx, finish := s.follow(ctx)
	defer finish()
	answer, err := s.start(ctx, request, statement.IdempotencyKey == "")
	return answer.ID, err
}

// Fetch gives the rows of a submitted statement.
func (s *Session) Fetch(ctx context.Context, id string, wait time.Duration) (redshift.Rows, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if !statementIDs.MatchString(id) {
		return nil, redshift.ErrNotFound
	}
	ctx, finish := s.follow(ctx)
	rows, err := s.result(ctx, id, rowsLikely, s.config.Now().Add(max(wait, 0)))
	if err != nil {
		finish()
		return nil, err
	}
	rows.finish = finish
	return rows, nil
}

// Describe tells how a statement is doing.
func (s *Session) Describe(ctx context.Context, id string, wait time.Duration) (redshift.Execution, error) {
	leave, err := s.enter()
	if err != nil {
		return redshift.Execution{}, err
	}
	defer leave()
	if !statementIDs.MatchString(id) {
		return redshift.Execution{}, redshift.ErrNotFound
	}
	ctx, finish := s.follow(ctx)
	defer finish()
	answer, err := s.awaitFinal(ctx, id, s.config.Now().Add(max(wait, 0)))
	if err != nil {
		return redshift.Execution{}, err
	}
	return answer.execution(), nil
}

// Cancel asks Redshift to stop a statement.
func (s *Session) Cancel(ctx context.Context, id string) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	if !statementIDs.MatchString(id) {
		return redshift.ErrNotFound
	}
	ctx, finish := s.follow(ctx)
	defer finish()
	var answer cancelAnswer
	err = s.ask(ctx, cancelStatement, statementRequest{ID: id}, &answer)
	switch {
	case isCode(err, missing):
		return redshift.ErrNotFound
	case err == nil && answer.Status:
		return nil
	case err != nil && !isCode(err, "ValidationException"):
		return err
	}
	// AWS does not cancel what has ended, and says so in words only.
	described, describeErr := s.awaitFinal(ctx, id, s.config.Now())
	switch {
	case describeErr != nil:
		return errors.Join(err, describeErr)
	case described.Status.Final():
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("cancel statement %s: AWS did not, and it is still %s", id, described.Status)
}

// enter counts a call as running, so that Close waits for it.
func (s *Session) enter() (leave func(), err error) {
	if s.invalid != nil {
		return nil, s.invalid
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return nil, errClosed
	}
	s.tasks.Add(1)
	return s.tasks.Done, nil
}

// follow gives a context that ends with ctx, with the session, or by finish.
func (s *Session) follow(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.closing, func() { cancel(errClosed) })
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}

// prepare makes the request, with a ClientToken that stays the same however often it is sent.
func (s *Session) prepare(statement redshift.Statement) (executeRequest, error) {
	sql, parameters, err := bind(statement)
	if err != nil {
		return executeRequest{}, err
	}
	token := statement.IdempotencyKey
	switch {
	case token == "":
		token = newClientToken()
	case len(token) > maxClientToken:
		return executeRequest{}, fmt.Errorf("data API: the idempotency key has %d characters; %d are allowed", len(token), maxClientToken)
	}
	return executeRequest{
		ClusterIdentifier: s.config.Cluster, WorkgroupName: s.config.Workgroup, Database: s.config.Database,
		SQL: sql, Parameters: parameters, StatementName: cut(statement.Label, maxStatementName),
		ClientToken: token, ResultFormat: strings.ToUpper(s.config.ResultFormat),
	}, nil
}

func newClientToken() string {
	var random [24]byte
	rand.Read(random[:]) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// cut shortens text to a number of bytes, at the border of a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// start sends a statement. It runs as a task of its own, so that a caller who goes away before
// AWS has answered is released at once, and the statement is still cancelled when it turns out
// that AWS took it.
func (s *Session) start(ctx context.Context, request executeRequest, orphan bool) (executeAnswer, error) {
	type outcome struct {
		answer executeAnswer
		err    error
	}
	done := make(chan outcome)
	task := func() {
		answer, err := s.execute(ctx, request)
		select {
		case done <- outcome{answer, err}:
		case <-ctx.Done():
			if err == nil && orphan {
				s.cancel(ctx, answer.ID)
			}
		}
	}
	if !s.spawn(task) {
		return executeAnswer{}, errClosed
	}
	select {
	case o := <-done:
		return o.answer, o.err
	case <-ctx.Done():
		return executeAnswer{}, fmt.Errorf("start the statement: %w", context.Cause(ctx))
	}
}

func (s *Session) execute(ctx context.Context, request executeRequest) (executeAnswer, error) {
	credentials, err := s.config.Credentials.Credentials(ctx)
	if err != nil {
		return executeAnswer{}, fmt.Errorf("get credentials for %s: %w", executeStatement, err)
	}
	request.SecretARN = credentials.SecretARN
	if s.config.Cluster != "" { // a workgroup derives the user from the role, and refuses DbUser
		request.DatabaseUser = credentials.DatabaseUser
	}
	var answer executeAnswer
	if err := s.ask(ctx, executeStatement, request, &answer); err != nil {
		return executeAnswer{}, err
	}
	if !statementIDs.MatchString(answer.ID) {
		return executeAnswer{}, errors.New("data API ExecuteStatement: the answer has no statement id: is the endpoint right?")
	}
	return answer, nil
}

// ask makes a call with a small answer.
func (s *Session) ask(ctx context.Context, op operation, request, answer any) error {
	body, err := s.call(ctx, op, request, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", op, err)
	}
	return nil
}

// abandon cancels a statement that nobody waits for any more, without waiting for AWS.
func (s *Session) abandon(ctx context.Context, id string) {
	if !s.spawn(func() { s.cancel(ctx, id) }) {
		s.cancel(ctx, id) // the session is being closed, and Close waits for the caller of this
	}
}

// cancel tells AWS, though ctx has ended.
func (s *Session) cancel(ctx context.Context, id string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer stop()
	var answer cancelAnswer
	err := s.ask(ctx, cancelStatement, statementRequest{ID: id}, &answer)
	if err != nil && !isCode(err, "ValidationException") { // it had ended already
		s.config.Logger.WarnContext(ctx, "data API statement could not be cancelled", "statement", id, "error", err)
	}
}
