"""Makes `trial --reporter=marotte` known to Twisted, which looks for plugins in this folder."""

from twisted.plugin import IPlugin
from twisted.trial.itrial import IReporter
from zope.interface import implementer


@implementer(IPlugin, IReporter)
class _Reporter:
    name = "marotte"
    module = "marotte._defer.trial"
    klass = "Reporter"
    description = "verbose color output; the tests run on the Deferreds of marotte.defer"
    longOpt = "marotte"
    shortOpt = None


marotte = _Reporter()
