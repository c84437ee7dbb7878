// Command stargazer runs the example app by itself, against any gateway.
//
//	go run ./examples/stargazer/cmd/stargazer -issuer https://grants.example.com -client-id stargazer
//
// The client secret is read from the environment variable STARGAZER_CLIENT_SECRET; leave it
// out for a public client. Sessions live in memory and end with the program.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/shiftgrant/shiftgrant/examples/stargazer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stargazer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	listen := flag.String("listen", "127.0.0.1:7421", "address to listen on")
	baseURL := flag.String("base-url", "http://localhost:7421", "URL by which people reach the app; its /callback is the redirect URI to register")
	issuer := flag.String("issuer", "http://localhost:7420", "URL of the gateway")
	clientID := flag.String("client-id", "stargazer", "client id that the gateway's administrator registered")
	warehouse := flag.String("warehouse", "tickit", "name of the warehouse at the gateway")
	flag.Parse()

	key := make([]byte, 32)
	rand.Read(key) // never fails since Go 1.24
	handler, err := stargazer.New(stargazer.Config{
		BaseURL: *baseURL, Issuer: *issuer, Warehouse: *warehouse, Key: key,
		ClientID: *clientID, ClientSecret: os.Getenv("STARGAZER_CLIENT_SECRET"),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w (choose another with -listen)", *listen, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	fmt.Fprintf(os.Stderr, "Stargazer shines at %s\n", *baseURL)
	return serve(ctx, server, listener)
}

// serve answers until ctx ends, then lets running requests finish.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(patience); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop: %w", err)
	}
	return server.Close()
}
