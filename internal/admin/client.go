package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// Client speaks to the gateway of a data folder.
type Client struct {
	socket string
	base   string // path of the tenant, "" for the default one
	http   *http.Client
}

// NewClient makes a client for the default tenant at the admin socket at path; it connects when it is
// used.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{path, "", &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Apps lists all apps.
func (c *Client) Apps(ctx context.Context) ([]App, error) {
	var apps []App
	return apps, c.call(ctx, http.MethodGet, "/apps", nil, &apps)
}

// AddApp registers an app and gives its secret, if it is confidential, this one time.
func (c *Client) AddApp(ctx context.Context, app App) (Registered, error) {
	var registered Registered
	return registered, c.call(ctx, http.MethodPost, "/apps", app, &registered)
}

// RemoveApp removes an app and revokes all its grants.
func (c *Client) RemoveApp(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/apps/"+url.PathEscape(id), nil, nil)
}

// RotateSecret gives an app a new secret; the one before it stays good until the next time.
func (c *Client) RotateSecret(ctx context.Context, id string) (Registered, error) {
	var registered Registered
	return registered, c.call(ctx, http.MethodPost, "/apps/"+url.PathEscape(id)+"/secrets", nil, &registered)
}

func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	var content bytes.Buffer
	if body != nil {
		if err := json.MarshalWrite(&content, body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://gateway"+c.base+path, &content)
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("no gateway is running on this data folder (%s): start it with `shiftgrant serve`, or give its folder with --data", c.socket)
		}
		return fmt.Errorf("ask the gateway: %w", err)
	}
	defer response.Body.Close()
	received, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	if response.StatusCode >= 300 {
		var problem struct {
			Title  string `json:"title"`
			Detail string `json:"detail"`
		}
		if err := json.Unmarshal(received, &problem); err != nil || problem.Title == "" {
			return fmt.Errorf("the gateway answered %s", response.Status)
		}
		return fmt.Errorf("%s. %s", problem.Title, problem.Detail)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(received, answer); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	return nil
}
