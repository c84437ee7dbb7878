package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

const sweepEvery = time.Minute

// NewLogger makes the logger that the configuration asks for.
func NewLogger(config Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(config.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if config.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Run serves until ctx ends, then drains: it reports not ready, takes no new connections, lets
// running requests end, and closes what New opened. It may be called once.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.ready.Store(false)
	failed := make(chan error, len(g.listeners))
	for _, l := range g.listeners {
		go func() {
			if err := l.serve(); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", l.name, err)
			}
		}()
		g.logger.Info("listening", "what", l.name, "address", l.listener.Addr().String())
	}
	sweeping, stopSweeping := context.WithCancel(ctx)
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		g.sweep(sweeping)
	}()
	g.ready.Store(true)
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		g.logger.Info("stopping: running requests may end", "within", time.Duration(g.config.Limits.DrainTime))
	}
	g.ready.Store(false)
	stopSweeping()
	<-swept
	return errors.Join(err, g.drain(), g.Close())
}

// drain lets running requests end, for a while.
func (g *Gateway) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(g.config.Limits.DrainTime))
	defer cancel()
	var err error
	for _, l := range g.listeners {
		if shutdownErr := l.server.Shutdown(ctx); shutdownErr != nil {
			g.logger.Warn("requests were cut short", "what", l.name)
			err = errors.Join(err, l.server.Close())
		}
	}
	return err
}

// sweep deletes what has expired, in small batches, so that writers never wait for long.
func (g *Gateway) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, t := range g.tenants {
			t.turnKeys(ctx)
		}
		// Any tenant's room does it for all: the tokens are in one table, and say whose they are.
		if resealed, err := g.tenants[0].signIn.Reseal(ctx); err != nil {
			g.logger.Error("seal upstream tokens by the newest key", "error", err)
		} else if resealed > 0 {
			g.logger.Info("sealed upstream tokens by the newest key", "tokens", resealed)
		}
		if deleted, err := g.store.Sweep(ctx, time.Now(), 500); err != nil {
			g.logger.Error("sweep expired rows", "error", err)
		} else if deleted > 0 {
			g.logger.Debug("swept expired rows", "deleted", deleted)
		}
		if _, err := g.store.SweepAudit(ctx, time.Now().Add(-time.Duration(g.config.Audit.KeepInStore)), 500); err != nil {
			g.logger.Error("sweep copied audit records", "error", err)
		}
	}
}

// A listener is one address and who answers there.
type listener struct {
	name     string
	listener net.Listener
	server   *http.Server
	tls      bool
}

func (l *listener) serve() error {
	if l.tls {
		return l.server.ServeTLS(l.listener, "", "")
	}
	return l.server.Serve(l.listener)
}

func (g *Gateway) newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: time.Duration(g.config.Limits.HeaderTimeout),
		ReadTimeout:       time.Duration(g.config.Limits.RequestTimeout),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    g.config.Limits.RequestHeader,
		ErrorLog:          slog.NewLogLogger(g.logger.Handler(), slog.LevelDebug),
	}
}

// listen opens the three entrances: the public one, monitoring, and the admin socket.
func (g *Gateway) listen(public net.Listener, publicHandler, operations, administration http.Handler) error {
	if public == nil {
		opened, err := net.Listen("tcp", g.config.Listen)
		if err != nil {
			return fmt.Errorf("listen on %s: %w; change listen in the configuration, or end what uses it", g.config.Listen, err)
		}
		public = opened
	}
	server := g.newServer(publicHandler)
	if g.config.TLS.Certificate != "" {
		certificate, err := tls.LoadX509KeyPair(g.config.TLS.Certificate, g.config.TLS.Key)
		if err != nil {
			return errors.Join(fmt.Errorf("read the TLS certificate: %w", err), public.Close())
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	}
	g.listeners = append(g.listeners, &listener{"gateway", public, server, server.TLSConfig != nil})
	if address := g.config.Operations.Listen; address != "" {
		opened, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("listen on %s: %w; change operations.listen in the configuration", address, err)
		}
		g.listeners = append(g.listeners, &listener{"operations", opened, g.newServer(operations), false})
	}
	socket, err := admin.Listen(filepath.Join(g.config.Data, AdminSocket))
	if err != nil {
		return err
	}
	g.listeners = append(g.listeners, &listener{"admin", socket, g.newServer(administration), false})
	return nil
}

// publicHandler puts around all routes what every request gets.
func (g *Gateway) publicHandler(mux *http.ServeMux) http.Handler {
	handler := g.metrics.count(mux)
	if issuer, err := url.Parse(g.config.Issuer); err == nil && issuer.Scheme == "https" {
		handler = strictTransport(handler)
	}
	return web.Log(g.logger, web.DropSlowReaders(time.Duration(g.config.Limits.ReaderPatience), g.limitAddresses(handler)))
}

// strictTransport keeps browsers on https for a year (RFC 6797).
func strictTransport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

func (g *Gateway) registerHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := g.readiness(r.Context()); err != nil {
			g.logger.Warn("not ready", "error", err)
			web.WriteProblem(w, r, web.Problem{Status: http.StatusServiceUnavailable, Title: "Not ready", Detail: "The log has the reason."})
			return
		}
		fmt.Fprintln(w, "ready")
	})
}

// readiness tells whether requests can be served. An IdP that is down is no reason against it:
// people who are signed in go on.
func (g *Gateway) readiness(ctx context.Context) error {
	if !g.ready.Load() {
		return errors.New("starting or stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := g.store.Ping(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return g.audit.Ready(ctx)
}
