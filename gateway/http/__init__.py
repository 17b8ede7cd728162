"""HTTP: routes, authentication, limits, error rendering. The only package that knows status codes and Litestar."""
