package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
)

// wordy is a statement whose record fills a pipe soon.
var wordy = "select 1 /* " + strings.Repeat("x", 16<<10) + " */"

// fillSink runs statements until one is refused, and checks how.
func (s *site) fillSink(t *testing.T, run func() (answer, error)) {
	t.Helper()
	for range 100 {
		ran := s.twin.DataAPI.Faults().Calls("ExecuteStatement")
		started := time.Now()
		got, err := run()
		if err != nil {
			t.Fatal(err)
		}
		if got.status == http.StatusOK {
			continue
		}
		if took := time.Since(started); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || took > 10*time.Second {
			t.Errorf("%d after %v, Retry-After %q: want 503 after two seconds", got.status, took, got.header.Get("Retry-After"))
		}
		hygienic(t, "a statement that cannot be recorded", got)
		if now := s.twin.DataAPI.Faults().Calls("ExecuteStatement"); now != ran {
			t.Errorf("%d statements reached Redshift unrecorded", now-ran)
		}
		return
	}
	t.Fatal("a hundred statements were recorded by a sink that nobody reads")
}

// F21: a sink that takes nothing holds requests for two seconds, then they are refused; nothing
// runs unrecorded. When it takes records again, all goes on.
func TestF21BlockedAuditSink(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"named pipe", "standard output"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var reader *os.File
			s := startSite(t, func(s *site) {
				if kind == "named pipe" {
					s.config.Audit.File = filepath.Join(s.data, "audit.fifo")
					s.config.Audit.Store = new(false)
					if err := syscall.Mkfifo(s.config.Audit.File, 0o600); err != nil {
						t.Fatal(err)
					}
					return
				}
				var writer *os.File
				var err error
				if reader, writer, err = os.Pipe(); err != nil {
					t.Fatal(err)
				}
				s.config.Audit.Stdout, s.stdout = true, writer
				t.Cleanup(func() { _ = writer.Close() })
			})
			token := s.token(t, "alice")
			s.fillSink(t, func() (answer, error) { return s.sql(t.Context(), token, wordy) })
			if err := s.ready(); err == nil {
				t.Error("the gateway says that it is ready")
			}
			if _, err := s.refresh(t.Context(), token); err == nil {
				t.Error("a token was issued unrecorded")
			}
			if reader == nil {
				var err error
				if reader, err = os.Open(s.config.Audit.File); err != nil {
					t.Fatal(err)
				}
			}
			received := make(chan []byte, 1)
			go func() {
				var all bytes.Buffer
				_, _ = io.Copy(&all, reader)
				received <- all.Bytes()
			}()
			s.eventually(t, "it is ready again", s.ready)
			s.mustSQL(t, token, "select 'recorded again'")
			if err := s.end(); err != nil {
				t.Errorf("stop: %v", err)
			}
			if writer, ok := s.stdout.(*os.File); ok {
				_ = writer.Close()
			}
			var verifier audit.Verifier
			text := <-received
			if err := verifier.Read("sink", bytes.NewReader(text)); err != nil || !bytes.Contains(text, []byte("recorded again")) || verifier.Verified().Unsigned() != 0 {
				t.Errorf("the sink got %+v, %v", verifier.Verified(), err)
			}
			_ = reader.Close()
		})
	}
}

// F10: on a full disk nothing new begins, what needs no disk goes on, and with room it all goes
// on without a restart.
func TestF10DiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("a full disk is a small one that is mounted for it, which needs root: run this with sudo")
		}
		t.Skip("a full disk is a small one that is mounted for it, which needs root: run this with sudo")
	}
	s := startSite(t, func(s *site) {
		if err := syscall.Mount("tmpfs", s.data, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
			t.Fatalf("mount a small disk: %v", err)
		}
		folder := s.data
		t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
	})
	token := s.token(t, "alice")
	s.mustSQL(t, token, "select 1")
	for range long(2, 10) {
		ballast := filepath.Join(s.data, "ballast")
		file, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(file, zeros{}); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fill the disk: %v", err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		s.fillSink(t, func() (answer, error) { return s.sql(t.Context(), token, wordy) })
		if _, err := s.signIn(t.Context(), "bob"); err == nil {
			t.Error("somebody signed in with the disk full")
		}
		if _, err := s.refresh(t.Context(), token); err == nil || strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("refresh with the disk full = %v, want one that tells the app to come back", err)
		}
		response, err := http.Get(s.url + "/.well-known/oauth-authorization-server")
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, response); got.status != http.StatusOK {
			t.Errorf("metadata: %d", got.status)
		}
		if err := s.ready(); err == nil {
			t.Error("the gateway says that it is ready")
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		s.eventually(t, "it is ready again", s.ready)
		s.mustSQL(t, token, "select 2")
		if token, err = s.refresh(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		s.token(t, "bob")
	}
	if err := s.end(); err != nil {
		t.Errorf("stop: %v", err)
	}
	var verifier audit.Verifier
	record := s.auditText(t)
	if err := verifier.Read("audit.jsonl", strings.NewReader(record)); err != nil || !strings.Contains(record, "audit.recovered") {
		t.Errorf("the record: %+v, %v", verifier.Verified(), err)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// F11: keys change under load, and nobody notices.
func TestF11KeysChangeUnderLoad(t *testing.T) {
	t.Parallel()
	s := startSite(t, func(s *site) { s.config.Limits.TokenRequestsPerMinute = 100000 }) // the load is one app's
	operator := admin.NewClient(filepath.Join(s.data, gateway.AdminSocket))
	stop, failures := make(chan struct{}), make(chan error, 100)
	var ended []chan struct{}
	for range 2 {
		done := make(chan struct{})
		ended = append(ended, done)
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.walk(t); err != nil {
					failures <- err
					return
				}
			}
		}()
	}
	for range long(3, 60) {
		for _, kind := range []string{"seal", "issuer"} {
			if _, err := operator.RotateKey(t.Context(), kind, 0); err != nil {
				t.Errorf("rotate %s: %v", kind, err)
			}
		}
		time.Sleep(1100 * time.Millisecond) // the load goes on meanwhile
	}
	close(stop)
	for _, done := range ended {
		<-done
	}
	close(failures)
	for err := range failures {
		t.Error(err)
	}
}

// walk is a whole flow: sign in, ask, refresh, ask.
func (s *site) walk(t *testing.T) error {
	token, err := s.signIn(t.Context(), "alice")
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	for range 2 {
		got, err := s.sql(t.Context(), token, "select 1")
		if err != nil || got.status != http.StatusOK {
			return fmt.Errorf("ask: %d %w %s", got.status, err, got.body)
		}
		if token, err = s.refresh(t.Context(), token); err != nil {
			return fmt.Errorf("refresh: %w", err)
		}
	}
	return nil
}
