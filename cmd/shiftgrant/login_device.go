package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/shiftgrant/shiftgrant/connect"
)

// signInByDevice is the sign-in of a machine without a browser: the person enters a code in one that
// they have elsewhere (RFC 8628).
func signInByDevice(ctx context.Context, issuer string, scopes []string, messages io.Writer) (signedIn, error) {
	client, err := commandLineClient(issuer, scopes, "", nil)
	if err != nil {
		return signedIn{}, err
	}
	device, err := client.BeginDevice(ctx)
	if errors.Is(err, connect.ErrNoDevices) {
		return signedIn{}, errors.New("this gateway offers no sign-in by a code: sign in with a browser on this machine, without --no-browser")
	}
	if err != nil {
		return signedIn{}, fmt.Errorf("sign in: %w", err)
	}
	fmt.Fprintf(messages, "In a browser on any device, open\n\n  %s\n\nand enter the code\n\n  %s\n\nNobody else needs this code: do not send it on. Waiting …\n", printable(device.URL), printable(device.UserCode))
	identity, tokens, err := device.Wait(ctx)
	switch {
	case errors.Is(err, connect.ErrDenied):
		return signedIn{}, errors.New("sign in: access was denied in the browser")
	case errors.Is(err, connect.ErrExpired):
		return signedIn{}, errors.New("sign in: nobody entered the code in time; start again")
	case err != nil:
		return signedIn{}, fmt.Errorf("sign in: %w", err)
	}
	return signedIn{identity, tokens}, nil
}
