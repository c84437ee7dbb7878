package twin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/controlplane"
	"github.com/shiftgrant/shiftgrant/twin/dataapi"
	"github.com/shiftgrant/shiftgrant/twin/iam"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/secretsmanager"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/wire"
)

// newDataAPI puts the Data API in front of the database, as the one cluster and the one workgroup of
// the account.
func newDataAPI(config Config, registry *sigv4.Registry, database warehouse, secrets *secretsmanager.Server, policies *iam.Server) *dataapi.Handler {
	return dataapi.New(dataapi.Config{
		Authenticator: authenticator{sigv4.Verifier{
			Registry: registry, Region: Region, Service: "redshift-data", Now: config.Now,
		}, database.IdentityProviders},
		Clusters:   map[string]dataapi.Database{Cluster: database},
		Workgroups: map[string]dataapi.Database{Workgroup: database},
		Account:    Account,
		Region:     Region,
		Secret:     userOfSecret(secrets, policies, database.Password),
		MayUse: func(caller dataapi.Caller, databaseUser string) bool {
			return caller.Tags[userTag] == databaseUser && policies.Allows(caller.RoleName, "redshift:GetClusterCredentials")
		},
		Quotas: config.Quotas,
		Now:    config.Now,
		Logger: config.Logger,
	})
}

// authenticator tells the Data API who signed a request.
type authenticator struct {
	verifier  sigv4.Verifier
	providers func(context.Context) ([]postgres.IdentityProvider, error)
}

// Authenticate implements dataapi.Authenticator.
func (a authenticator) Authenticate(r *http.Request, body []byte) (dataapi.Caller, error) {
	credential, err := a.verifier.Verify(r, body)
	if err != nil {
		var refused *sigv4.Error
		if !errors.As(err, &refused) {
			return dataapi.Caller{}, err
		}
		return dataapi.Caller{}, &dataapi.AuthError{Code: refused.Code, Message: refused.Message, Status: refused.Status}
	}
	caller := dataapi.Caller{
		UserID: credential.UserID(), Account: credential.Account, RoleName: credential.RoleName,
		SessionName: credential.SessionName, Tags: credential.Tags,
	}
	if person := credential.OnBehalfOf; person != nil {
		if !person.MayConnect {
			return dataapi.Caller{}, &dataapi.AuthError{Code: "AccessDeniedException", Message: wrongScope, Status: http.StatusBadRequest}
		}
		// What a person started belongs to the person with the role, whatever the session's name.
		caller.UserID = credential.RoleID + ":" + person.UserID
		namespace, err := a.namespace(r.Context())
		if err != nil {
			return dataapi.Caller{}, err
		}
		caller.DatabaseUser = namespace + ":" + person.UserName
	}
	return caller, nil
}

// namespace is what stands before the names of people from Identity Center.
func (a authenticator) namespace(ctx context.Context) (string, error) {
	providers, err := a.providers(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range providers {
		if p.Type == postgres.AWSIDC {
			return p.Namespace, nil
		}
	}
	return "", &dataapi.AuthError{Code: "ValidationException", Message: "AWS IdC identity provider does not exist", Status: http.StatusBadRequest}
}

// userOfSecret reads the secret in the caller's name, as the Data API does.
func userOfSecret(secrets *secretsmanager.Server, policies *iam.Server, password func(context.Context, string) (string, error)) func(dataapi.Caller, string) (string, error) {
	return func(caller dataapi.Caller, arn string) (string, error) {
		if !policies.Allows(caller.RoleName, "secretsmanager:GetSecretValue") {
			return "", &dataapi.AuthError{Code: "AccessDeniedException", Message: "User is not authorized to perform: secretsmanager:GetSecretValue", Status: http.StatusBadRequest}
		}
		value, err := secrets.Value(sigv4.Credential{
			Account: caller.Account, RoleARN: "arn:aws:iam::" + caller.Account + ":role/" + caller.RoleName, RoleName: caller.RoleName, SessionName: caller.SessionName,
		}, arn)
		if refused, ok := errors.AsType[*awsjson.Error](err); ok {
			return "", &dataapi.AuthError{Code: refused.Code, Message: refused.Message, Status: refused.Status}
		}
		var login struct{ Username, Password string }
		if err := json.Unmarshal([]byte(value), &login); err != nil {
			return "", &dataapi.AuthError{Code: "ValidationException", Message: "The secret is no JSON with a username and a password.", Status: http.StatusBadRequest}
		}
		known, err := password(context.Background(), login.Username)
		if err != nil {
			return "", err
		}
		if known == "" || login.Password != known {
			return "", &dataapi.AuthError{Code: "ValidationException", Message: "The secret holds no username and password of this warehouse.", Status: http.StatusBadRequest}
		}
		return login.Username, nil
	}
}

// newSecrets keeps the password of the one database user that has one.
func newSecrets(config Config, registry *sigv4.Registry) *secretsmanager.Server {
	secrets := secretsmanager.New(secretsmanager.Config{Registry: registry, Region: Region, Account: Account, Now: config.Now})
	secrets.Put(secretName, "Tw1n00", `{"username":"`+ServiceUser+`","password":"`+ServicePassword+`","engine":"redshift","dbClusterIdentifier":"`+Cluster+`","dbname":"`+Database+`"}`)
	return secrets
}

// newControlPlane gives database passwords for the cluster, and for the workgroup, where everybody
// with the role is one database user.
func newControlPlane(config Config, registry *sigv4.Registry, center *identitycenter.Center, policies *iam.Server, endpoint func() (string, int)) *controlplane.Server {
	return controlplane.New(controlplane.Config{
		Registry: registry, Account: Account, Region: Region, Clusters: []string{Cluster}, Workgroups: []string{Workgroup},
		Database: Database, Endpoint: endpoint, Center: center, Namespace: IdentityNamespace, IdentityRole: IdentityRoleARN,
		UserTag: userTag, RoleUsers: map[string]string{RoleName: "shared", PartnerRoleName: "shared", StaffRoleName: "shared"}, Otherwise: policies.Made, Now: config.Now,
	})
}

// newWire opens Redshift's port.
func newWire(listener net.Listener, config Config, certificate tls.Certificate, database warehouse, passwords *controlplane.Server, byToken func(context.Context, string, map[string]string) (string, error)) *wire.Server {
	return wire.Serve(listener, wire.Config{
		Database: database, Certificate: certificate, Logger: config.Logger, Token: byToken,
		Password: func(login string, right func(string) bool) (string, error) {
			known, err := database.Password(context.Background(), login)
			if err != nil {
				return "", err
			}
			if known != "" && right(known) {
				return login, nil
			}
			user, err := passwords.Check(login, right)
			switch {
			case errors.Is(err, controlplane.ErrExpired):
				return "", &wire.Denial{Message: controlplane.ErrExpired.Error()}
			case err != nil:
				return "", &wire.Denial{Message: fmt.Sprintf("password authentication failed for user %q", login)}
			}
			return user, nil
		},
	})
}
