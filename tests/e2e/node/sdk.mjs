// The two generations of `@letta-ai/letta-client` behind one face, so that both run the same tests. Nothing here
// repairs what an SDK does: arguments pass as they are, and errors are only read.

import * as current from "letta-current";
import legacy from "letta-legacy";

export const sdks = {
  "letta-client 1.12.1": {
    // The exception that an application sees for each status, and the text that it shows.
    errors: {
      400: current.BadRequestError,
      401: current.AuthenticationError,
      404: current.NotFoundError,
      405: current.APIError,
      413: current.APIError,
      415: current.APIError,
    },
    takesDates: true,
    connect(server, apiKey) {
      const tokens = new current.Letta({ apiKey, baseURL: server.url, maxRetries: 0 }).accessTokens;
      return {
        create: ({ expiresAt, ...request }, headers) =>
          tokens.create({ ...request, ...(expiresAt && { expires_at: expiresAt }) }, { headers }),
        list: (query) => tokens.list(query),
        delete: (token, body) => tokens.delete(token, body && { body }),
      };
    },
    read: (error) => ({ status: error.status, body: error.error, headers: error.headers }),
    shows: (error, message) => error.message === `${error.status} ${message}`,
  },

  "letta-client 0.1.211": {
    errors: {
      400: legacy.Letta.BadRequestError,
      401: legacy.LettaError,
      404: legacy.LettaError,
      405: legacy.LettaError,
      413: legacy.LettaError,
      415: legacy.LettaError,
    },
    takesDates: false,
    connect(server, apiKey) {
      const tokens = new legacy.LettaClient({ token: apiKey, baseUrl: server.url }).clientSideAccessTokens;
      return {
        create: (request, headers) => tokens.create(request, { headers, maxRetries: 0 }),
        list: (query) => tokens.clientSideAccessTokensListClientSideAccessTokens(query, { maxRetries: 0 }),
        delete: (token, body) => tokens.delete(token, body, { maxRetries: 0 }),
      };
    },
    read: (error) => ({ status: error.statusCode, body: error.body, headers: error.rawResponse.headers }),
    // It prints the whole body as JSON.
    shows: (error, message) => error.message.includes(`"message": ${JSON.stringify(message)}`),
  },
};
