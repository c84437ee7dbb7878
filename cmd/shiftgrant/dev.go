package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/connect/sqlitesession"
	"github.com/shiftgrant/shiftgrant/examples/stargazer"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// devPort is the gateway's; Stargazer and the twin take the two after it.
const devPort = 7420

func newDev() *cobra.Command {
	var options devOptions
	command := &cobra.Command{
		Use:   "dev",
		Short: "Run the whole flow on this machine: gateway, example app, and a twin of the outside world",
		Long: `Run the whole flow on this machine, without AWS: the gateway, the example app
Stargazer, and the twin, a stand-in for an IdP, AWS STS and Redshift over a real PostgreSQL.
Everything listens on loopback only. Ctrl-C ends it and removes what it made.`,
		Example: "  shiftgrant dev\n  shiftgrant dev --keep ./state --port 7500",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := options.check(); err != nil {
				return usage(command, err.Error())
			}
			options.output = command.OutOrStdout()
			options.logger = gateway.NewLogger(gateway.Log{Level: options.level, Format: "text"}, command.ErrOrStderr())
			return runDev(command.Context(), options)
		},
	}
	flags := command.Flags()
	flags.IntVar(&options.port, "port", devPort, "`port` of the gateway; Stargazer and the twin take the two after it. 0 takes free ones")
	flags.StringVar(&options.keep, "keep", "", "keep all state in this `folder` (default: a temporary one, removed at the end)")
	flags.StringVar(&options.postgres, "postgres", "", "`folder` of PostgreSQL's initdb and postgres (default: it is searched)")
	flags.StringVar(&options.transport, "transport", "auto", "how SQL travels to the twin: auto, wire (Redshift's own protocol) or dataapi")
	flags.StringVar(&options.chain, "chain", "web_identity", "how a person's identity becomes access: web_identity or identity_center")
	flags.StringVar(&options.level, "log-level", "warn", "what to log: debug, info, warn, error")
	command.AddCommand(newDevToken(), newDevBrowse())
	return command
}

type devOptions struct {
	port  int
	keep  string
	level string

	postgres  string
	transport string
	chain     string

	output io.Writer
	logger *slog.Logger
}

// check refuses what would look like something else later on.
func (o *devOptions) check() error {
	if last := o.port + 2; o.port < 0 || last > 65535 {
		return errors.New("--port: give a number from 1 to 65533, or 0 for free ports")
	}
	for _, choice := range []struct {
		flag, value string
		of          []string
	}{
		{"transport", o.transport, []string{"auto", "wire", "dataapi"}},
		{"chain", o.chain, []string{"web_identity", "identity_center"}},
		{"log-level", o.level, []string{"debug", "info", "warn", "error"}},
	} {
		if !slices.Contains(choice.of, choice.value) {
			return fmt.Errorf("--%s: write one of: %s", choice.flag, strings.Join(choice.of, ", "))
		}
	}
	return nil
}

// runDev starts the parts, each with what it needs of the one before, says where they are, and
// ends them in the opposite order.
func runDev(ctx context.Context, options devOptions) (err error) {
	folder, remove, err := devFolder(options.keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()

	gatewayListener, err := devListen("the gateway", options.port, 0)
	if err != nil {
		return err
	}
	defer gatewayListener.Close()
	appListener, err := devListen("Stargazer", options.port, 1)
	if err != nil {
		return err
	}
	defer appListener.Close()
	gatewayURL, appURL := localURL(gatewayListener), localURL(appListener)

	world, err := startTwin(ctx, options, folder, gatewayURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.Close()) }()

	appSecret := grant.NewToken(grant.ClientSecret)
	config, err := devConfig(folder, gatewayURL, appURL, world, appSecret, options)
	if err != nil {
		return err
	}
	server, err := gateway.New(ctx, config, gateway.Options{Logger: options.logger, Version: buildVersion(), Listener: gatewayListener})
	if err != nil {
		return err
	}
	app, closeApp, err := devApp(ctx, folder, gatewayURL, appURL, appSecret, options.logger)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	defer func() { err = errors.Join(err, closeApp()) }()

	greet(options.output, gatewayURL, appURL, world.URL(), folder, options.keep)
	return serveDev(ctx, server, app, appListener, world)
}

// serveDev runs until ctx ends, or one of the parts does.
func serveDev(ctx context.Context, server *gateway.Gateway, app http.Handler, listener net.Listener, world *twin.Twin) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	appServer := &http.Server{Handler: app, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute}
	appDone := make(chan struct{})
	go func() {
		defer close(appDone)
		if err := appServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("serve Stargazer: %w", err))
		}
	}()
	go func() {
		select {
		case <-world.Done():
			cancel(errors.New("the twin's PostgreSQL has ended; its log says why (--keep keeps it)"))
		case <-ctx.Done():
		}
	}()
	err := server.Run(ctx)
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if appServer.Shutdown(ending) != nil {
		_ = appServer.Close()
	}
	<-appDone
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return errors.Join(cause, err)
	}
	return err
}

// devFolder gives the folder for all state, and what to do with it at the end.
func devFolder(keep string) (string, func() error, error) {
	if keep == "" {
		folder, err := os.MkdirTemp("", "shiftgrant-dev-")
		if err != nil {
			return "", nil, fmt.Errorf("make a temporary folder: %w; choose another with TMPDIR, or give one with --keep", err)
		}
		// The twin's PostgreSQL may run as another account, which has to get through here.
		if err := os.Chmod(folder, 0o711); err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(folder))
		}
		return folder, func() error { return os.RemoveAll(folder) }, nil
	}
	folder, err := filepath.Abs(keep)
	if err != nil {
		return "", nil, fmt.Errorf("folder %s: %w", keep, err)
	}
	if err := os.MkdirAll(folder, 0o711); err != nil {
		return "", nil, fmt.Errorf("the folder %s cannot be made: %w; choose another with --keep", keep, err)
	}
	probe, err := os.CreateTemp(folder, ".probe-*")
	if err != nil {
		return "", nil, fmt.Errorf("the folder %s cannot be written: %w; choose another with --keep", keep, err)
	}
	return folder, func() error { return nil }, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// devListen opens a port of the three, or says whose it is and what to do.
func devListen(who string, port, offset int) (net.Listener, error) {
	listener, err := net.Listen("tcp", devAddress(port, offset))
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s cannot listen: %w; choose other ports with --port 7500", who, err)
	}
	if err != nil {
		return nil, fmt.Errorf("port %d is taken, and %s needs it: end what uses it, or choose other ports with --port 7500 (%w)", port+offset, who, err)
	}
	return listener, nil
}

func devAddress(port, offset int) string {
	if port == 0 {
		offset = 0
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+offset))
}

func localURL(listener net.Listener) string {
	return fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
}

func startTwin(ctx context.Context, options devOptions, folder, gatewayURL string) (*twin.Twin, error) {
	if probe, err := devListen("the twin", options.port, 2); err != nil {
		return nil, err
	} else if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("close the probe of the twin's port: %w", err)
	}
	fmt.Fprintln(options.output, "starting the twin: a private PostgreSQL with 172,456 sales to ask about …")
	world, err := twin.Start(ctx, twin.Config{
		Listen: devAddress(options.port, 2), Dir: filepath.Join(folder, "twin"),
		Issuer: gatewayURL, GatewayRedirectURIs: []string{gatewayURL + "/signin/callback/twin"}, GatewayLogoutURIs: []string{gatewayURL + "/"},
		PostgresBin: options.postgres, Logger: options.logger,
	})
	if errors.Is(err, postgres.ErrNotInstalled) {
		return nil, errors.New("PostgreSQL's server, which the twin needs, was not found: install it (Debian, Ubuntu: apt-get install postgresql), or give the folder of its initdb and postgres with --postgres")
	}
	return world, err
}

// devApp makes Stargazer, as another company would run it: with a session store of its own.
func devApp(ctx context.Context, folder, gatewayURL, appURL string, appSecret secret.Text, logger *slog.Logger) (http.Handler, func() error, error) {
	key, err := devKey(filepath.Join(folder, "stargazer.key"))
	if err != nil {
		return nil, nil, err
	}
	sessions, err := sqlitesession.Open(ctx, filepath.Join(folder, "stargazer.db"))
	if err != nil {
		return nil, nil, fmt.Errorf("open Stargazer's sessions: %w", err)
	}
	app, err := stargazer.New(stargazer.Config{
		BaseURL: appURL, Issuer: gatewayURL, ClientID: "stargazer", ClientSecret: appSecret.Reveal(),
		Warehouse: "tickit", Key: key, Sessions: sessions, Logger: logger,
	})
	if err != nil {
		return nil, nil, errors.Join(err, sessions.Close())
	}
	return app, sessions.Close, nil
}

// devKey keeps Stargazer's key beside its sessions, so that a kept world stays signed in.
func devKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil && len(key) == 32 {
		return key, nil
	}
	key = make([]byte, 32)
	rand.Read(key) // never fails since Go 1.24
	if err := os.WriteFile(path, key, 0o600); err != nil {
		return nil, fmt.Errorf("keep Stargazer's key: %w", err)
	}
	return key, nil
}

func greet(w io.Writer, gatewayURL, appURL, twinURL, folder, keep string) {
	flag := ""
	if gatewayURL != fmt.Sprintf("http://localhost:%d", devPort) {
		flag = " --gateway " + gatewayURL
	}
	program := os.Args[0]
	fmt.Fprintf(w, `
  Stargazer, an app that connects to Redshift          %[2]s
  gateway, the product                                 %[1]s
  twin, a stand-in for IdP, AWS and Redshift            %[3]s

Try in a browser
  open %[2]s, choose "Connect Amazon Redshift", and sign in as alice, then as bob (password: %[6]s)

Try by curl
  export TOKEN=$(%[4]s dev token alice%[5]s)
  curl %[1]s/v1/query -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
       -d '{"query": "select current_user, count(*) from tickit.sales"}'
  curl %[1]s/v1/query -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/sql' -H 'Accept: text/csv' \
       --data-binary 'select * from tickit.category order by catid'
  curl %[1]s/.well-known/oauth-authorization-server

Try by the command line, in your own browser
  %[4]s login %[1]s
  %[4]s query 'select current_user, count(*) from tickit.sales'

Try the twin by the AWS CLI: its front page, %[3]s, has the commands

See every link from the configuration to the warehouse
  %[4]s doctor --config %[7]s --as alice
`, gatewayURL, appURL, twinURL, program, flag, twin.Password, filepath.Join(folder, devConfigFile))
	if keep != "" {
		fmt.Fprintf(w, "\nRegister an app of your own\n  %s apps --data %s add my-app --redirect http://localhost:3000/callback\n", program, filepath.Join(keep, "gateway"))
	}
	fmt.Fprintln(w, "\nready (Ctrl-C ends everything)")
}
