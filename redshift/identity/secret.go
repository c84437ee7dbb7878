package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// ErrSecretForm says that a secret is there and holds something else.
var ErrSecretForm = errors.New(`the secret does not hold {"username": …, "password": …}, as Redshift's secrets do`)

// secretLife is how long a password is used without a look whether the secret has another by now.
const secretLife = time.Hour

// SecretConfig says which secret opens a warehouse.
type SecretConfig struct {
	ARN    string // of the secret, in Secrets Manager
	Region string
	// Endpoint overrides https://secretsmanager.<region>.amazonaws.com.
	Endpoint string
	// Credentials are the gateway's own, which may read the secret.
	Credentials Provider
	HTTPClient  *http.Client // nil: one with a timeout that follows no redirect
	Now         func() time.Time
}

// Secret is the secret chain: a database user and its password are in AWS Secrets Manager
// (GetSecretValue), in the form that Redshift's own rotation keeps. Everybody is this one database
// user, so Redshift does not know people apart: it is for warehouses where nothing else is possible.
type Secret struct {
	config   SecretConfig
	endpoint string
	service  *signedService
	held     heldLogin
}

// NewSecret checks the configuration. It makes no call.
func NewSecret(config SecretConfig) (*Secret, error) {
	if !strings.HasPrefix(config.ARN, "arn:") || !strings.Contains(config.ARN, ":secret:") {
		return nil, fmt.Errorf("secret: %q is not the ARN of a secret (arn:aws:secretsmanager:<region>:<account>:secret:<name>)", config.ARN)
	}
	if config.Credentials == nil {
		return nil, errors.New("secret: Credentials are missing: nobody signs the request")
	}
	s := &Secret{config: config, endpoint: config.Endpoint}
	if s.endpoint == "" {
		var err error
		if s.endpoint, err = Endpoint("secretsmanager", config.Region); err != nil {
			return nil, fmt.Errorf("secret: find the endpoint: %w", err)
		}
	}
	s.service = &signedService{name: "secretsmanager", region: config.Region, client: orDefault(config.HTTPClient), signer: v4.NewSigner(), now: orSystemTime(config.Now)}
	return s, nil
}

// For gives the gateway's own credentials with the secret's ARN, which the Data API logs in with: it
// reads the secret by itself, in the name of these credentials.
func (s *Secret) For(Subject) Provider { return withSecret{s.config.Credentials, s.config.ARN} }

// Close is there for the interface: nothing is under way between calls.
func (s *Secret) Close() {}

// withSecret is a provider whose credentials say the secret.
type withSecret struct {
	Provider
	arn string
}

func (w withSecret) Credentials(ctx context.Context) (Credentials, error) {
	credentials, err := w.Provider.Credentials(ctx)
	credentials.SecretARN, credentials.DatabaseUser = w.arn, ""
	return credentials, err
}

func (w withSecret) Invalidate(refused Credentials) {
	if forgetting, ok := w.Provider.(Invalidator); ok {
		refused.SecretARN = ""
		forgetting.Invalidate(refused)
	}
}

// Login implements LoginProvider.
func (s *Secret) Login(ctx context.Context, renew bool) (Login, error) {
	return s.held.get(s.service.now(), renew, func() (Login, error) {
		var given Login
		err := withFreshKeys(ctx, s.config.Credentials, func(keys Credentials) (err error) {
			given, err = s.ask(ctx, keys)
			return err
		})
		return given, explainRefusal("read the secret "+s.config.ARN, err, secretRemedies, strings.NewReplacer("{secret}", s.config.ARN))
	})
}

func (s *Secret) ask(ctx context.Context, keys Credentials) (Login, error) {
	payload, err := json.Marshal(map[string]string{"SecretId": s.config.ARN})
	if err != nil {
		return Login{}, err
	}
	body, response, err := s.service.post(ctx, s.endpoint, keys, payload, map[string]string{
		"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "secretsmanager.GetSecretValue",
	})
	if err != nil {
		return Login{}, fmt.Errorf("call Secrets Manager at %s: %w", s.endpoint, err)
	}
	if response.StatusCode != http.StatusOK {
		return Login{}, parseJSONRefusal(response, body)
	}
	var answer struct{ SecretString string }
	var held struct {
		User     string `json:"username"`
		Password string `json:"password"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Login{}, errors.New("the answer of Secrets Manager is not JSON: is the endpoint right?")
	}
	// What the secret holds instead is nobody's business here, so the error does not say it.
	if json.Unmarshal([]byte(answer.SecretString), &held) != nil || held.User == "" || held.Password == "" {
		return Login{}, ErrSecretForm
	}
	return Login{User: held.User, Password: secret.New(held.Password), MayChange: true, Expires: s.service.now().Add(secretLife)}, nil
}

// secretRemedies says what to do about the errors that GetSecretValue documents.
var secretRemedies = with(map[string]string{
	"AccessDeniedException":     "allow the gateway's own role secretsmanager:GetSecretValue on {secret} (and kms:Decrypt, where the secret has a key of its own)",
	"ResourceNotFoundException": "there is no secret {secret} in this region",
	"DecryptionFailure":         "Secrets Manager cannot open the secret: allow the gateway's own role kms:Decrypt on its key",
	"InvalidRequestException":   "the secret is not to be had at the moment: is it marked for deletion?",
	"InvalidParameterException": "Secrets Manager did not accept the request: check the secret's ARN",
	"InternalServiceError":      "Secrets Manager has a fault: try again in a moment",
}, keyRemedies, passingRemedies)
