#:sdk Microsoft.NET.Sdk.Web
// Receive opswatch's callbacks: verify the signature, print the event, answer. .NET 10, no package.
//
// $ WEBHOOK_SECRETS="whsec_new whsec_old" dotnet run Receiver.cs --urls http://127.0.0.1:8080

using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

const long Tolerance = 300; // seconds by which a timestamp may differ from this clock; it prevents replays
const int MaxBody = 64 * 1024; // opswatch sends less than 20 kB

try
{
    ReadSecrets();
}
catch (FormatException error)
{
    Console.Error.WriteLine(error.Message);
    return 1;
}
var seen = new ConcurrentDictionary<string, bool>(); // lost at a restart; in production, use a unique key in your database

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = MaxBody);
var app = builder.Build();

app.MapPost("/{**path}", async (HttpRequest request) =>
{
    string id = request.Headers["webhook-id"].ToString();
    string timestamp = request.Headers["webhook-timestamp"].ToString();
    string signatures = request.Headers["webhook-signature"].ToString();
    bool isNumber = long.TryParse(timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out long sentAt);
    if (id == "" || signatures == "" || !isNumber)
        return Results.StatusCode(400);

    using var buffer = new MemoryStream();
    await request.Body.CopyToAsync(buffer);
    byte[] body = buffer.ToArray(); // the raw body, before parsing

    bool isFresh = Math.Abs(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - sentAt) <= Tolerance;
    if (!isFresh || !IsGenuine(ReadSecrets(), id, timestamp, signatures, body))
        return Results.StatusCode(401);
    if (!seen.ContainsKey(id)) // otherwise it was sent again, because the last answer was lost
    {
        using var @event = JsonDocument.Parse(body);
        await Handle(@event);
        seen[id] = true; // last: if anything fails before this, the event is sent again
    }
    return Results.NoContent();
});
app.Run();
return 0;

// Do your work here, within 15 seconds: after that opswatch sends the event again.
static Task Handle(JsonDocument @event) => Console.Out.WriteLineAsync(@event.RootElement.GetRawText());

// Return the keys in WEBHOOK_SECRETS; throw FormatException if any of them is missing or wrong. It is read for each
// request, too, because anybody can sign with an empty key: a request then gets 500, and is sent again later.
static byte[][] ReadSecrets()
{
    string[] secrets = (Environment.GetEnvironmentVariable("WEBHOOK_SECRETS") ?? "")
        .Split(default(char[]), StringSplitOptions.RemoveEmptyEntries); // by white space
    if (secrets.Length == 0)
        throw new FormatException("WEBHOOK_SECRETS is missing: `opswatch secret` creates one");
    return [.. secrets.Select((secret, index) => ReadSecret(secret, index + 1))];
}

static byte[] ReadSecret(string secret, int number)
{
    byte[] key = new byte[64]; // a longer one does not fit, and is refused
    if (!secret.StartsWith("whsec_", StringComparison.Ordinal)
        || !Convert.TryFromBase64String(secret["whsec_".Length..], key, out int length)
        || length < 24)
        throw new FormatException($"WEBHOOK_SECRETS: secret {number} is malformed: it must be whsec_ and base64 of "
            + "24 to 64 bytes, as `opswatch secret` prints");
    return key[..length];
}

// Return whether one of the signatures (`v1,…`, separated by spaces) is by one of the keys.
static bool IsGenuine(byte[][] keys, string id, string timestamp, string signatures, byte[] body)
{
    byte[] signed = [.. Encoding.UTF8.GetBytes($"{id}.{timestamp}."), .. body];
    byte[][] given = [.. signatures.Split(' ').Select(text => Encoding.UTF8.GetBytes(text))];
    return keys
        .Select(key => $"v1,{Convert.ToBase64String(HMACSHA256.HashData(key, signed))}")
        .Select(text => Encoding.UTF8.GetBytes(text))
        .Any(own => given.Any(other => CryptographicOperations.FixedTimeEquals(own, other)));
}
