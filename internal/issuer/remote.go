package issuer

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Remote signs where its private half is kept and never leaves, such as in AWS KMS.
type Remote interface {
	PublicKey(ctx context.Context) (*rsa.PublicKey, error)
	// Sign makes an RS256 signature (RSASSA-PKCS1-v1_5) over a SHA-256 digest.
	Sign(ctx context.Context, digest []byte) ([]byte, error)
}

// A RemoteKey is one with its place in the rotation.
type RemoteKey struct {
	Name string    // where it is kept, for people: its ARN
	From time.Time // from when it signs
	Key  Remote
}

// A RemoteError is what went wrong with a remote key.
type RemoteError struct {
	Name string // of the key
	Err  error
}

func (e *RemoteError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *RemoteError) Unwrap() error { return e.Err }

// openRemote asks for the public half of each key once: it never changes. A key that is over is not
// asked for, so that it may be disabled or deleted before anybody takes it out of the configuration.
func openRemote(ctx context.Context, remote []RemoteKey, files []signingKey, now time.Time) ([]signingKey, error) {
	var starts []time.Time
	for _, key := range remote {
		starts = append(starts, key.From)
	}
	for _, key := range files {
		starts = append(starts, key.from)
	}
	var keys []signingKey
	for _, r := range remote {
		if slices.ContainsFunc(starts, func(next time.Time) bool { return next.After(r.From) && !next.Add(keepPublished).After(now) }) {
			keys = append(keys, signingKey{from: r.From, place: r.Name, sign: signOver(r.Name)})
			continue
		}
		public, err := r.Key.PublicKey(ctx)
		if err != nil {
			return nil, fmt.Errorf("read signing key %w", &RemoteError{r.Name, err})
		}
		key, err := newSigningKey(r.From, r.Name, public, signChecked(r, public))
		if err != nil {
			return nil, fmt.Errorf("read signing key %s: %w", r.Name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// signOver is only for a clock that was set back.
func signOver(name string) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) {
		return nil, &RemoteError{name, errors.New("its time was over when this program started; check this machine's clock")}
	}
}

// signChecked looks whether a signature is one of the key that was published. It costs a hundredth of
// what the call did, and AWS's refusal of a signature says nothing about where it went wrong.
func signChecked(remote RemoteKey, public *rsa.PublicKey) func(context.Context, []byte) ([]byte, error) {
	return func(ctx context.Context, digest []byte) ([]byte, error) {
		signature, err := remote.Key.Sign(ctx, digest)
		if err != nil {
			return nil, &RemoteError{remote.Name, err}
		}
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, signature); err != nil {
			return nil, &RemoteError{remote.Name, errors.New("what came back is no signature by the key that is published: is the endpoint right?")}
		}
		return signature, nil
	}
}

// Try has each remote key sign that does so now or later, for somebody who wants to know whether they
// will. What is signed is no assertion, and cannot be taken for one.
func (k *Keys) Try(ctx context.Context, now time.Time) error {
	digest := sha256.Sum256([]byte("a test by shiftgrant"))
	keys := *k.current.Load()
	for _, key := range keys[signingAt(keys, now):] {
		if _, err := key.sign(ctx, digest[:]); err != nil {
			return fmt.Errorf("sign with key %w", err)
		}
	}
	return nil
}
