package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	// clockTolerance is what assertions allow for: they are valid from 30 seconds before they are
	// made. A Date header is up to a second old.
	clockTolerance = 30 * time.Second
	clockPatience  = 5 * time.Second
)

// checkClock asks AWS first, whose clock is the one that counts, then identity providers.
func checkClock(ctx context.Context, v *visit) finding {
	for _, source := range v.clocks() {
		skew, err := v.skew(ctx, source)
		if err != nil {
			continue // that it cannot be reached is another link's finding
		}
		host := source
		if u, err := url.Parse(source); err == nil {
			host = u.Host
		}
		if skew.Abs() > clockTolerance {
			v.clockIsWrong = true
			return broken("wrong", nil, "skew", direction(skew), "source", host)
		}
		return whole("within %s of %s", (skew.Abs() + time.Second).Truncate(time.Second), host)
	}
	return weak("unknown", nil)
}

// clocks are addresses whose answers have a Date.
func (v *visit) clocks() []string {
	var sources []string
	for i := range v.gateway.Warehouses {
		w := &visit{examination: v.examination, warehouse: &v.gateway.Warehouses[i]}
		if endpoint := w.stsEndpoint(); endpoint != "" && (usesSTS(w) || w.warehouse.Identity.HasCredentials()) {
			sources = append(sources, endpoint)
		}
	}
	for _, u := range v.gateway.Upstreams {
		sources = append(sources, u.Address())
	}
	return sources
}

// skew is how far this machine is ahead. The certificate is not verified here, because a wrong clock
// is one reason why it could not be, and nothing is sent but the question.
func (v *visit) skew(ctx context.Context, source string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, clockPatience)
	defer cancel()
	client := plainClient()
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	defer client.CloseIdleConnections()
	before := v.config.Now()
	got, err := get(ctx, client, source)
	if err != nil {
		return 0, err
	}
	theirs, err := http.ParseTime(got.header.Get("Date"))
	if err != nil {
		return 0, err
	}
	middle := before.Add(v.config.Now().Sub(before) / 2)
	return middle.Sub(theirs.Add(time.Second / 2)), nil
}

func direction(skew time.Duration) string {
	if skew < 0 {
		return fmt.Sprintf("%s slower", (-skew).Round(time.Second))
	}
	return fmt.Sprintf("%s faster", skew.Round(time.Second))
}
