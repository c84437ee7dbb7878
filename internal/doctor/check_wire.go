package doctor

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
)

func checkNetwork(ctx context.Context, v *visit) finding {
	host, port := hostAndPort(v.warehouse.Host)
	start := time.Now()
	connection, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err == nil {
		_ = connection.Close() // nothing was sent
		return whole("%s:%s takes connections (%s)", host, port, time.Since(start).Round(time.Millisecond))
	}
	_, unresolved := errors.AsType[*net.DNSError](err)
	switch {
	case unresolved:
		return broken("no_name", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return broken("refused", err)
	}
	return broken("timeout", err)
}

func checkEncryption(ctx context.Context, v *visit) finding {
	err := wire.Reach(ctx, *v.road.Port)
	if err == nil {
		return whole("the certificate is for %s and trusted", v.road.Port.Host)
	}
	fault := oneLine(innermost(err))
	switch {
	case wrongName(err):
		return broken("wrong_name", nil, "fault", fault)
	case untrusted(err):
		return broken("untrusted", nil, "fault", fault)
	case strings.Contains(err.Error(), "does not speak TLS"), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		return broken("none", nil, "fault", fault)
	}
	return broken("other", nil, "fault", fault)
}

func checkLogin(ctx context.Context, v *visit) finding {
	i := v.warehouse.Identity
	nobody := v.config.As == "" && !i.Shared() && (v.warehouse.Cluster != "" || !hasPassword(v))
	switch {
	case i.FromUpstream():
		return skipped(ownToken)
	case nobody:
		return skipped(sayWho)
	case i.Centered():
		if f := v.nobodyKnown(); f != nil {
			return *f
		}
	}
	if v.login == nil { // no link before has got one
		login, err := v.road.Login.Login(ctx, false)
		if err != nil {
			return broken("other", err, "fault", oneLine(err.Error()))
		}
		v.login = &login
	}
	config := *v.road.Port
	config.Login, config.Application = *v.login, sessionName
	start := time.Now()
	session, err := wire.Connect(ctx, config)
	if err != nil {
		return v.loginFault(err)
	}
	v.sessions = append(v.sessions, session)
	return whole("a session began (%s)", time.Since(start).Round(time.Millisecond))
}

// loginWords are what Redshift says, and what it means (SQLSTATE is 28000 for almost all).
var loginWords = []struct{ word, cause string }{
	{"has expired", "expired"},
	{"password authentication failed", ""}, // whose password, is the chain's to say
	{"idc identity provider does not exist", "no_provider"},
	{"failed to obtain aws idc info", "no_provider"},
	{"no postgresql user name specified", "no_provider"},
	{"is not supported", "old"},
	{"invalid scope", "scope"},
	{"expired or invalid", "token"},
	{"identity center", "token"},
	{"identity provider", "no_provider"},
	{"token", "token"},
	{"database", "no_database"},
	{"connection limit", "full"},
	{"maximum number of connections", "full"},
}

func (v *visit) loginFault(err error) finding {
	_, isBusy := errors.AsType[*redshift.BusyError](err)
	access, refused := errors.AsType[*redshift.AccessError](err)
	fault := oneLine(innermost(err))
	switch {
	case isBusy:
		return broken("full", nil, "fault", fault)
	case errors.Is(err, os.ErrDeadlineExceeded) || !refused:
		return broken("other", nil, "fault", fault)
	case access.Code == "3D000":
		return broken("no_database", nil, "fault", fault)
	}
	cause, text := "", strings.ToLower(fault)
	for _, w := range loginWords {
		if strings.Contains(text, w.word) {
			cause = w.cause
			break
		}
	}
	switch {
	case cause != "":
	case v.warehouse.Identity.Shared():
		cause = "wrong_password"
	default:
		cause = "no_user"
	}
	return broken(cause, nil, "fault", fault)
}
