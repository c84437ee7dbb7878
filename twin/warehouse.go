package twin

import (
	"errors"
	"net/http"

	"github.com/shiftgrant/shiftgrant/twin/dataapi"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// newDataAPI puts the Data API in front of the database, as the one cluster of the account.
func newDataAPI(config Config, registry *sigv4.Registry, database *postgres.Server) *dataapi.Handler {
	return dataapi.New(dataapi.Config{
		Authenticator: authenticator{sigv4.Verifier{
			Registry: registry, Region: Region, Service: "redshift-data", Now: config.Now,
		}},
		Clusters: map[string]dataapi.Database{Cluster: database},
		Account:  Account,
		Region:   Region,
		Quotas:   config.Quotas,
		Now:      config.Now,
		Logger:   config.Logger,
	})
}

// authenticator tells the Data API who signed a request.
type authenticator struct{ verifier sigv4.Verifier }

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
	return dataapi.Caller{
		UserID: credential.UserID(), Account: credential.Account, RoleName: credential.RoleName,
		SessionName: credential.SessionName, Tags: credential.Tags,
	}, nil
}
