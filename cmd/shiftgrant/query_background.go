package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/login"
)

const (
	// atOnce is how long the gateway is asked to wait in one call: less than proxies let a connection be
	// silent.
	atOnce = "25s"
	// patience is how often a call is tried while the gateway cannot be reached, with longer pauses each
	// time: for a minute and a half in all.
	patience = 8
)

// A backgroundStatement goes on in the gateway whatever becomes of the connection.
type backgroundStatement struct {
	session  *login.Session
	progress *progress
	start    login.Request
	pause    time.Duration // after the first call that failed
	path     string        // "" until the gateway has said so
}

// statementStatus is what the gateway says of a statement.
type statementStatus struct {
	ID       string            `json:"statement_id"`
	Status   string            `json:"status"`
	RowCount int64             `json:"row_count"`
	Rows     string            `json:"rows"`
	Error    *connect.APIError `json:"error"`
}

func newBackgroundStatement(session *login.Session, body []byte, accept string, progress *progress) *backgroundStatement {
	return &backgroundStatement{
		session: session, progress: progress, pause: time.Second,
		start: login.Request{Method: http.MethodPost, Path: "/v1/statements", Accept: accept, Body: body},
	}
}

// ask starts the statement, waits for its end, however often the connection is cut, and gives its rows.
// Its request id makes a second start the same statement.
func (s *backgroundStatement) ask(ctx context.Context) (*http.Response, error) {
	response, err := s.try(ctx, s.start)
	if err == nil && response.StatusCode == http.StatusAccepted {
		response, err = s.follow(ctx, response)
	}
	if ctx.Err() != nil {
		s.cancel(ctx)
	}
	return response, err
}

// follow asks until the statement has ended, and then for its rows.
func (s *backgroundStatement) follow(ctx context.Context, response *http.Response) (*http.Response, error) {
	for {
		status, err := readStatus(response)
		if err != nil {
			return nil, err
		}
		s.path = "/v1/statements/" + url.PathEscape(status.ID)
		s.progress.rows.Store(status.RowCount)
		switch status.Status {
		case "FINISHED":
			s.progress.rows.Store(0) // they are counted again as they are read
			return s.try(ctx, login.Request{Method: http.MethodGet, Path: s.path + "/rows", Accept: s.start.Accept})
		case "FAILED":
			if status.Error != nil {
				return nil, status.Error
			}
			return nil, errors.New("the statement failed")
		case "CANCELED":
			return nil, errors.New("the statement was cancelled elsewhere")
		}
		if response, err = s.try(ctx, login.Request{Method: http.MethodGet, Path: s.path + "?wait=" + atOnce, Accept: "application/json"}); err != nil {
			return nil, err
		}
	}
}

func readStatus(response *http.Response) (statementStatus, error) {
	var status statementStatus
	err := json.NewDecoder(io.LimitReader(response.Body, 4<<20)).Decode(&status)
	if err = errors.Join(err, response.Body.Close()); err == nil && status.ID == "" {
		err = errors.New("it has no id")
	}
	if err != nil {
		return status, fmt.Errorf("read the state of the statement: %w", err)
	}
	return status, nil
}

// try calls the gateway, again and again while it cannot be reached.
func (s *backgroundStatement) try(ctx context.Context, request login.Request) (*http.Response, error) {
	pause := s.pause
	for tries := 1; ; tries++ {
		response, err := s.session.Do(ctx, request)
		if err == nil && (response.StatusCode == http.StatusOK || response.StatusCode == http.StatusAccepted) {
			return response, nil
		}
		again := err != nil && !errors.Is(err, connect.ErrSignedOut) && !errors.Is(err, login.ErrNone)
		if err == nil {
			again = isAway(response.StatusCode)
			err = errors.Join(connect.ReadProblem(response), response.Body.Close())
		}
		if !again || ctx.Err() != nil || tries == patience {
			return nil, explainSignedOut(s.session, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, 30*time.Second)
		}
	}
}

func isAway(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// cancel ends a statement that nobody waits for any more.
func (s *backgroundStatement) cancel(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if s.path == "" { // it was interrupted as it began: the same request says which it is
		response, err := s.session.Do(ctx, s.start)
		if err != nil {
			return
		}
		status, err := readStatus(response)
		if err != nil {
			return // it has ended, or was not taken
		}
		s.path = "/v1/statements/" + url.PathEscape(status.ID)
	}
	response, err := s.session.Do(ctx, login.Request{Method: http.MethodPost, Path: s.path + "/cancel", Accept: "application/json"})
	if err == nil {
		_ = response.Body.Close()
	}
}
