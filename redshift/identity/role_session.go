package identity

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// sessionLength suits every role: a role's MaxSessionDuration is at least one hour.
	sessionLength    = time.Hour
	stsVersion       = "2011-06-15"
	callTimeout      = 15 * time.Second
	defaultCacheSize = 4096
)

// A roleSession is what the chains have in common that assume a role for each person.
type roleSession struct {
	roleARN, region string
	endpoint        string // of STS
	length          time.Duration
	cacheSize       int
	client          *http.Client
	now             func() time.Time
}

// complete applies the defaults and refuses what cannot work.
func (s *roleSession) complete() error {
	if !strings.HasPrefix(s.roleARN, "arn:") || !strings.Contains(s.roleARN, ":role/") {
		return fmt.Errorf("%q is not the ARN of a role (arn:aws:iam::<account>:role/<name>)", s.roleARN)
	}
	if s.endpoint == "" {
		var err error
		if s.endpoint, err = Endpoint("sts", s.region); err != nil {
			return fmt.Errorf("find the STS endpoint: %w", err)
		}
	}
	if s.length == 0 {
		s.length = sessionLength
	}
	if s.length < 15*time.Minute || s.length > 12*time.Hour {
		return fmt.Errorf("a session of %s is not between 15 minutes and 12 hours", s.length)
	}
	if s.cacheSize <= 0 {
		s.cacheSize = defaultCacheSize
	}
	s.client, s.now = orDefault(s.client), orSystemTime(s.now)
	return nil
}

func orDefault(client *http.Client) *http.Client {
	if client != nil {
		return client
	}
	return &http.Client{Timeout: callTimeout, CheckRedirect: refuseRedirect}
}

// refuseRedirect hands the redirect itself back: an assertion or a signed request must not travel on
// to wherever an answer points.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func orSystemTime(now func() time.Time) func() time.Time {
	if now != nil {
		return now
	}
	return time.Now
}
