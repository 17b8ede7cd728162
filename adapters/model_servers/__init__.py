"""Targets on other machines of our own: llama-server, vLLM, Ollama, or anything with OpenAI's API, one or several
servers of each; with their health, load and figures, as far as they tell them."""
