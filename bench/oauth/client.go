package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"
)

// patience is how long one answer may take: longer is a hang, which ends the benchmark.
const patience = 10 * time.Second

// A client is an app's connection together with somebody's browser. It writes HTTP by hand, so
// that it costs little beside what is measured.
type client struct {
	address    string
	connection net.Conn
	reader     *bufio.Reader

	authorize []byte // request, ready to send
	verifier  string
	access    string
	refreshes string
	out       []byte
}

const (
	clientID    = "bench"
	redirectURI = "https://app.example/callback"
	scopes      = "sql:read offline_access"
)

func newClient(address, cookie string) *client {
	c := &client{address: address, verifier: oauth2.GenerateVerifier()}
	query := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURI}, "scope": {scopes}, "state": {"a-state-of-some-length"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(c.verifier)}, "code_challenge_method": {"S256"},
	}
	c.authorize = fmt.Appendf(nil, "GET /oauth2/authorize?%s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", query.Encode(), address, cookie)
	return c
}

type response struct {
	status   int
	location string
	body     []byte
}

func (c *client) do(request []byte) (response, error) {
	if c.connection == nil {
		connection, err := net.Dial("tcp", c.address)
		if err != nil {
			return response{}, err
		}
		c.connection, c.reader = connection, bufio.NewReaderSize(connection, 16<<10)
	}
	if err := c.connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return response{}, err
	}
	if _, err := c.connection.Write(request); err != nil {
		return response{}, err
	}
	return c.read()
}

// read reads an answer that has a length, as all of the gateway's short ones do.
func (c *client) read() (response, error) {
	var answer response
	length := -1
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return answer, fmt.Errorf("read answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			if len(line) < 12 {
				return answer, errors.New("the answer is not HTTP")
			}
			if answer.status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return answer, fmt.Errorf("read status: %w", err)
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return answer, fmt.Errorf("read length: %w", err)
			}
		case "Location":
			answer.location = string(value)
		}
	}
	if length < 0 {
		return answer, fmt.Errorf("an answer of status %d has no length", answer.status)
	}
	answer.body = make([]byte, length)
	_, err := io.ReadFull(c.reader, answer.body)
	return answer, err
}

// flow asks for a code and exchanges it.
func (c *client) flow() error {
	answer, err := c.do(c.authorize)
	if err != nil {
		return err
	}
	location, err := url.Parse(answer.location)
	if err != nil || answer.status != 303 || location.Query().Get("code") == "" {
		return fmt.Errorf("authorize answered %d %q, and no code", answer.status, answer.location)
	}
	return c.token("grant_type=authorization_code&code=" + location.Query().Get("code") + "&redirect_uri=" + url.QueryEscape(redirectURI) + "&code_verifier=" + c.verifier)
}

func (c *client) refresh() error {
	return c.token("grant_type=refresh_token&refresh_token=" + c.refreshes)
}

func (c *client) token(form string) error {
	c.out = fmt.Appendf(c.out[:0], "POST /oauth2/token HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		c.address, basic, len(form), form)
	answer, err := c.do(c.out)
	if err != nil {
		return err
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(answer.body, &tokens); err != nil || answer.status != 200 || tokens.Refresh == "" {
		return fmt.Errorf("token answered %d %s", answer.status, answer.body)
	}
	c.access, c.refreshes = tokens.Access, tokens.Refresh
	return nil
}

// call asks something that needs a token and nothing else.
func (c *client) call() error {
	c.out = fmt.Appendf(c.out[:0], "GET /v1/warehouses HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", c.address, c.access)
	answer, err := c.do(c.out)
	if err == nil && answer.status != 200 {
		err = fmt.Errorf("answered %d %s", answer.status, answer.body)
	}
	return err
}

func (c *client) close() {
	if c.connection != nil {
		_ = c.connection.Close()
		c.connection = nil
	}
}

func basicAuth(secret string) string {
	return base64.StdEncoding.EncodeToString([]byte(clientID + ":" + secret))
}
